/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hotplug.asl - by this table an HVM guest learns that devices come ("vhost-dmctl add") and are to go
 * ("vhost-dmctl remove"): for xl's acpi_firmware=. See vhost-dm(8), "Devices that come and go".
 *
 * It is a Generic Event Device, whose registers are vhost-dm's (dm/hotplug.h) and are there only with a vhost-dm.
 * What comes and goes are the slots S1 to S31 of the PCI bus that xl's own tables have.
 */

/* An ISA interrupt that no other device of the guest has: 7 is the parallel port's. vhost-dm learns it from here. */
#define HOTPLUG_IRQ 7

/* vhost-dm has it there. */
#define HOTPLUG_BASE 0xFEBFF000

DefinitionBlock ("", "SSDT", 2, "VHOSTD", "VDMPLUG", 1)
{
    External (\_SB.PCI0.S1, DeviceObj)
    External (\_SB.PCI0.S2, DeviceObj)
    External (\_SB.PCI0.S3, DeviceObj)
    External (\_SB.PCI0.S4, DeviceObj)
    External (\_SB.PCI0.S5, DeviceObj)
    External (\_SB.PCI0.S6, DeviceObj)
    External (\_SB.PCI0.S7, DeviceObj)
    External (\_SB.PCI0.S8, DeviceObj)
    External (\_SB.PCI0.S9, DeviceObj)
    External (\_SB.PCI0.S10, DeviceObj)
    External (\_SB.PCI0.S11, DeviceObj)
    External (\_SB.PCI0.S12, DeviceObj)
    External (\_SB.PCI0.S13, DeviceObj)
    External (\_SB.PCI0.S14, DeviceObj)
    External (\_SB.PCI0.S15, DeviceObj)
    External (\_SB.PCI0.S16, DeviceObj)
    External (\_SB.PCI0.S17, DeviceObj)
    External (\_SB.PCI0.S18, DeviceObj)
    External (\_SB.PCI0.S19, DeviceObj)
    External (\_SB.PCI0.S20, DeviceObj)
    External (\_SB.PCI0.S21, DeviceObj)
    External (\_SB.PCI0.S22, DeviceObj)
    External (\_SB.PCI0.S23, DeviceObj)
    External (\_SB.PCI0.S24, DeviceObj)
    External (\_SB.PCI0.S25, DeviceObj)
    External (\_SB.PCI0.S26, DeviceObj)
    External (\_SB.PCI0.S27, DeviceObj)
    External (\_SB.PCI0.S28, DeviceObj)
    External (\_SB.PCI0.S29, DeviceObj)
    External (\_SB.PCI0.S30, DeviceObj)
    External (\_SB.PCI0.S31, DeviceObj)

    Scope (\_SB)
    {
        Device (VDHP)
        {
            Name (_HID, "ACPI0013")
            Name (_UID, "vhost-dm")
            Name (_CRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive) { HOTPLUG_IRQ }
            })

            OperationRegion (REGS, SystemMemory, HOTPLUG_BASE, 0x14)
            Field (REGS, DWordAcc, NoLock, WriteAsZeros)
            {
                MAGC, 32,
                VERS, 32,
                INUM, 32,
                INSR, 32,       // a bit for each slot; a 1 that is written clears it
                EJCT, 32
            }

            Method (_STA, 0, NotSerialized)
            {
                If (LAnd (LEqual (MAGC, 0x50484456), LEqual (VERS, 1)))
                {
                    Return (0x0F)
                }
                Return (Zero)
            }

            // From here on vhost-dm uses the interrupt.
            Method (_INI, 0, NotSerialized)
            {
                Store (HOTPLUG_IRQ, INUM)
            }

            // What is in both goes first: something new came after it. (Read in this order, nothing new is seen
            // before what is to go.)
            Method (_EVT, 1, Serialized)
            {
                Store (INSR, Local1)
                Store (EJCT, Local0)
                Store (Local1, INSR)
                Store (Local0, EJCT)
                TELL (Local0, 3)    // eject request
                TELL (Local1, 1)    // device check
            }

            Method (TELL, 2, Serialized)
            {
                If (And (Arg0, 0x00000002)) { Notify (\_SB.PCI0.S1, Arg1) }
                If (And (Arg0, 0x00000004)) { Notify (\_SB.PCI0.S2, Arg1) }
                If (And (Arg0, 0x00000008)) { Notify (\_SB.PCI0.S3, Arg1) }
                If (And (Arg0, 0x00000010)) { Notify (\_SB.PCI0.S4, Arg1) }
                If (And (Arg0, 0x00000020)) { Notify (\_SB.PCI0.S5, Arg1) }
                If (And (Arg0, 0x00000040)) { Notify (\_SB.PCI0.S6, Arg1) }
                If (And (Arg0, 0x00000080)) { Notify (\_SB.PCI0.S7, Arg1) }
                If (And (Arg0, 0x00000100)) { Notify (\_SB.PCI0.S8, Arg1) }
                If (And (Arg0, 0x00000200)) { Notify (\_SB.PCI0.S9, Arg1) }
                If (And (Arg0, 0x00000400)) { Notify (\_SB.PCI0.S10, Arg1) }
                If (And (Arg0, 0x00000800)) { Notify (\_SB.PCI0.S11, Arg1) }
                If (And (Arg0, 0x00001000)) { Notify (\_SB.PCI0.S12, Arg1) }
                If (And (Arg0, 0x00002000)) { Notify (\_SB.PCI0.S13, Arg1) }
                If (And (Arg0, 0x00004000)) { Notify (\_SB.PCI0.S14, Arg1) }
                If (And (Arg0, 0x00008000)) { Notify (\_SB.PCI0.S15, Arg1) }
                If (And (Arg0, 0x00010000)) { Notify (\_SB.PCI0.S16, Arg1) }
                If (And (Arg0, 0x00020000)) { Notify (\_SB.PCI0.S17, Arg1) }
                If (And (Arg0, 0x00040000)) { Notify (\_SB.PCI0.S18, Arg1) }
                If (And (Arg0, 0x00080000)) { Notify (\_SB.PCI0.S19, Arg1) }
                If (And (Arg0, 0x00100000)) { Notify (\_SB.PCI0.S20, Arg1) }
                If (And (Arg0, 0x00200000)) { Notify (\_SB.PCI0.S21, Arg1) }
                If (And (Arg0, 0x00400000)) { Notify (\_SB.PCI0.S22, Arg1) }
                If (And (Arg0, 0x00800000)) { Notify (\_SB.PCI0.S23, Arg1) }
                If (And (Arg0, 0x01000000)) { Notify (\_SB.PCI0.S24, Arg1) }
                If (And (Arg0, 0x02000000)) { Notify (\_SB.PCI0.S25, Arg1) }
                If (And (Arg0, 0x04000000)) { Notify (\_SB.PCI0.S26, Arg1) }
                If (And (Arg0, 0x08000000)) { Notify (\_SB.PCI0.S27, Arg1) }
                If (And (Arg0, 0x10000000)) { Notify (\_SB.PCI0.S28, Arg1) }
                If (And (Arg0, 0x20000000)) { Notify (\_SB.PCI0.S29, Arg1) }
                If (And (Arg0, 0x40000000)) { Notify (\_SB.PCI0.S30, Arg1) }
                If (And (Arg0, 0x80000000)) { Notify (\_SB.PCI0.S31, Arg1) }
            }
        }
    }
}
