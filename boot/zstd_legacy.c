/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the static program: libzstd without the formats of before 2016, which Debian's archive has
 * (90 KB). These names satisfy the library's references before its own are looked for; they are weak,
 * so an archive that needs its own brings them.
 *
 * Nothing comes here: unpack_zstd gets one frame, which begins with today's magic number.
 */
#include <stdlib.h>

void zstd_legacy_refuse(void);

void zstd_legacy_refuse(void)
{
	abort();
}

#define LEGACY(name)       \
	void name(void); \
	void name(void) __attribute__((weak, alias("zstd_legacy_refuse")))

LEGACY(ZBUFFv05_createDCtx);
LEGACY(ZBUFFv05_decompressContinue);
LEGACY(ZBUFFv05_decompressInitDictionary);
LEGACY(ZBUFFv05_freeDCtx);
LEGACY(ZSTDv05_createDCtx);
LEGACY(ZSTDv05_decompress_usingDict);
LEGACY(ZSTDv05_findFrameSizeInfoLegacy);
LEGACY(ZSTDv05_freeDCtx);
LEGACY(ZSTDv05_getFrameParams);
LEGACY(ZBUFFv06_createDCtx);
LEGACY(ZBUFFv06_decompressContinue);
LEGACY(ZBUFFv06_decompressInitDictionary);
LEGACY(ZBUFFv06_freeDCtx);
LEGACY(ZSTDv06_createDCtx);
LEGACY(ZSTDv06_decompress_usingDict);
LEGACY(ZSTDv06_findFrameSizeInfoLegacy);
LEGACY(ZSTDv06_freeDCtx);
LEGACY(ZSTDv06_getFrameParams);
LEGACY(ZBUFFv07_createDCtx);
LEGACY(ZBUFFv07_decompressContinue);
LEGACY(ZBUFFv07_decompressInitDictionary);
LEGACY(ZBUFFv07_freeDCtx);
LEGACY(ZSTDv07_createDCtx);
LEGACY(ZSTDv07_decompress_usingDict);
LEGACY(ZSTDv07_findFrameSizeInfoLegacy);
LEGACY(ZSTDv07_freeDCtx);
LEGACY(ZSTDv07_getFrameParams);
