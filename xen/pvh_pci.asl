/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pvh_pci.asl - the PCI root bridge of a PVH guest, and the reservation of its configuration space (ECAM), which
 * Linux insists on before it believes the MCFG table.
 *
 * Every address is a placeholder, unique in the table, that pvh_acpi.c replaces by the windows that it has
 * chosen; the names there are the same. Ranges are one bus, and windows of any size.
 */
DefinitionBlock ("", "SSDT", 2, "VHOSTD", "VDMPCI", 1)
{
    Scope (\_SB)
    {
        Device (VDME)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, "VDME")
            Name (_CRS, ResourceTemplate ()
            {
                // ECAM: base, length
                Memory32Fixed (ReadWrite, 0xA1A1A1A1, 0xA2A2A2A2)
            })
        }

        Device (VDMP)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_SEG, Zero)
            Name (_BBN, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0x0000, 0x0000, 0x0000, 0x0000, 0x0001)
                // 32-bit window: first, last, length
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x00000000, 0xB1B1B1B1, 0xB2B2B2B2, 0x00000000, 0x01010102)
                // 64-bit window: first, last, length
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Prefetchable, ReadWrite,
                    0x0000000000000000, 0xC1C1C1C1C1C1C1C1, 0xC2C2C2C2C2C2C2C2, 0x0000000000000000,
                    0x0101010101010102)
            })
        }
    }
}
