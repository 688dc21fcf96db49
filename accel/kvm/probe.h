/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_KVM_PROBE_H
#define MAYFLY_ACCEL_KVM_PROBE_H
/*
 * Does this host's KVM really run guests? A /dev/kvm that opens proves little: some hosts offer
 * one without hardware virtualization that emulates every instruction of an ordinary kernel. So a
 * tiny guest runs a counted loop against the clock.
 */
#include <stdint.h>

enum kvm_verdict {
	KVM_PROBE_USABLE,
	KVM_PROBE_MISSING,   /* no /dev/kvm */
	KVM_PROBE_FORBIDDEN, /* may not be opened */
	KVM_PROBE_BROKEN,    /* opens, but lacks something or fails to run the probe */
	KVM_PROBE_SLOW,      /* emulates instructions */
};

struct kvm_probe {
	enum kvm_verdict verdict;
	uint64_t insns_per_s; /* of the probe loop; 0 if it did not run */
	char reason[200];     /* one line for the operator, whatever the verdict */
};

/* Takes some milliseconds on a KVM that works; its guest runs for less than 50 ms on any. */
void kvm_probe_run(struct kvm_probe *out);

#endif
