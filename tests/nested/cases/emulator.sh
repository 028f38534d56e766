# shellcheck shell=bash
# emulator.sh - tells a guest that was lost to a fault of the emulated processor. Such a guest says nothing of us: what it
# was for is done once more, and that is said. Seen with QEMU 7.2, on a busy machine in one of five boots of guests, and
# without a vhost-dm, too (../mend-qemu.py); in one of a hundred with 10.0, which is
# what run.sh prefers:
# - The kernel of an HVM guest faults at one instruction of its own entry code, again and again, until the entry stack
#   is full. It looks as if the processor had lost the GS base; memory that a device overwrote would look otherwise.
# - A fault at any instruction, for which the processor itself pushes flags that have bits which no processor has
#   (22 and above are always 0).
# - The processor takes a fault for the table of its own fault handlers (a triple fault), which Linux has mapped at
#   fffffe0000000000, for reading only, from its start to its end. At the very beginning it is at a page of the kernel's
#   own: there it is known by the entry that is looked for last, that of double faults (0x80).
# - A triple fault of the guest at an instruction of Xen's, with Xen's code segment and page tables.
emulator_fault() { # emulator_fault CONSOLE XEN-LINES: the guest's console; what Xen has said since it was started
    if grep -a -q 'Triple fault' "$2" && grep -a -q -E 'cr2: (fffffe0000000[0-9a-f]|f{8}[89][0-9a-f]{4}080)' "$2"; then return 0; fi
    if grep -a -A 5 'Triple fault' "$2" | grep -a -q 'RIP: *e008:'; then return 0; fi
    grep -a -q 'Kernel panic - not syncing' "$1" 2>/dev/null || return 1
    grep -a -q '</ENTRY_TRAMPOLINE>' "$1" || grep -a -q -E 'EFLAGS: ([1-9a-f]|0[1-9a-f]|00[4-9a-f])' "$1"
}
