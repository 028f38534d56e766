#!/usr/bin/env python3
"""mend-qemu.py QEMU COPY - copies QEMU's program with one store less in its emulation of VMRUN. Used by run.sh.

VMRUN that injects an interrupt delivers it, and leaves its number behind in the vCPU's exception_index too (helper_vmrun,
the case of SVM_EVTINJ_TYPE_INTR; so in 7.2 and in 10.0). As a rule nobody looks before the next #VMEXIT. But if another
thread asks the vCPU to leave its loop in that moment, the main loop takes the number for an exception that has still to
be delivered: the guest gets the interrupt twice, the second time at the first instruction of the handler, where Linux has
interrupts disabled and may not have its GS base yet. It dies, on a busy machine several times in a
hundred boots. An exception that is injected needs that number; an interrupt has its own.

Ends with 0: COPY is made. With 1, and no copy: this is not the code that is known; it says so. A copy is kept
nowhere but in the cache.
"""
import os
import re
import sys

# movzx esi, r12b; mov [rbx+ERROR_CODE], r13d; mov [rbx+EXCEPTION_INDEX], esi (the one that goes);
# mov dword [rbx+EXCEPTION_IS_INT], 0; mov qword [rbx+EXCEPTION_NEXT_EIP], -1
KNOWN = re.compile(rb'(\x41\x0f\xb6\xf4\x44\x89\xab....)(\x89\xb3..\xff\xff)(\xc7\x83....\0\0\0\0\x48\xc7\x83....\xff\xff\xff\xff)',
                   re.DOTALL)
NOP = b'\x66\x0f\x1f\x44\0\0'


def main(qemu, copy):
    with open(qemu, 'rb') as f:
        program = f.read()
    found = list(KNOWN.finditer(program))
    if len(found) != 1:
        print(f'{qemu}: the code of VMRUN is not one that is known here ({len(found)} places): not mended')
        return 1
    at = found[0].start(2)
    unfinished = f'{copy}.{os.getpid()}'
    with open(unfinished, 'wb') as f:
        f.write(program[:at] + NOP + program[at + len(NOP):])
    os.chmod(unfinished, 0o755)
    os.rename(unfinished, copy)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2]))
