/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_REAL_H
#define MAYFLY_VMM_CORE_REAL_H
/* Numbers with a fraction as text. */

enum { REAL_TEXT_MAX = 64 };

/* The shortest digits that read back as f, laid out as Rust's ryu does: 1.1, 1e16, 1.5e-7. f is finite. */
void real_to_text(double f, char text[REAL_TEXT_MAX]);

#endif
