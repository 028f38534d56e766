/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-mmio.asl - tells an HVM guest where a virtio-mmio device is: for xl's acpi_firmware=, beside
 *     vhost-dm --device ...,transport=mmio,base=0xfe800000,irq=3
 * Linux's virtio_mmio knows the name LNRO0005. See docs/virtio-mmio.md for more devices and other places.
 */
DefinitionBlock ("", "SSDT", 2, "VHOSTD", "VDMMMIO", 1)
{
    Scope (\_SB)
    {
        Device (VDM0)
        {
            Name (_HID, "LNRO0005")
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xFE800000, 0x00000200)                   // base=
                Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive) { 3 }    // irq=
            })
        }
    }
}
