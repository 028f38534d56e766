#!/usr/bin/env python3
"""snapshot.py save QMP-SOCKET FILE - save the state of a running QEMU to FILE (relative to QEMU's folder), let
it go on. snapshot.py registers QMP-SOCKET - print what its CPUs are doing. For saving, the machine is stopped only
while every CPU is halted: QEMU refuses to load a state in which a CPU was inside an SVM guest (a PVH dom0 is
one), and a halted CPU is one on which Xen itself is idle."""
import json, re, socket, sys, time

def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    stream = sock.makefile('rw')

    def qmp(command, **arguments):
        stream.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        stream.flush()
        while True:
            reply = json.loads(stream.readline())
            if 'error' in reply:
                sys.exit('QEMU: %s: %s' % (command, reply['error']['desc']))
            if 'return' in reply:
                return reply['return']

    stream.readline()                                   # QEMU's greeting
    qmp('qmp_capabilities')
    return qmp

def registers(path):
    print(connect(path)('human-monitor-command', **{'command-line': 'info registers -a'}))

def save(path, target):
    qmp = connect(path)
    for _ in range(600):
        qmp('stop')
        text = qmp('human-monitor-command', **{'command-line': 'info registers -a'})
        halted = re.findall(r'HLT=(\d)', text)
        if halted and set(halted) == {'1'}:
            break
        qmp('cont')
        time.sleep(0.05)
    else:
        sys.exit('the CPUs of the machine are never all idle')
    try:
        qmp('migrate-set-parameters', **{'max-bandwidth': 1 << 40})
        qmp('migrate', uri='exec:cat > ' + target)      # QEMU 7.2 has no file: yet
        while True:
            status = qmp('query-migrate').get('status')
            if status in ('completed', 'failed', 'cancelled'):
                break
            time.sleep(0.05)
    finally:
        qmp('cont')
    if status != 'completed':
        sys.exit('migration ' + status)

{'save': save, 'registers': registers}[sys.argv[1]](*sys.argv[2:])
