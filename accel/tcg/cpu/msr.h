/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_MSR_H
#define MAYFLY_ACCEL_TCG_CPU_MSR_H
/* Numbers of the model-specific registers that the translator knows, too. Not an enum: they do
 * not fit in an int. */
#define MSR_TSC_DEADLINE   0x6e0u
#define MSR_X2APIC         0x800u /* 256 of them */
#define MSR_EFER           0xc0000080u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u

#endif
