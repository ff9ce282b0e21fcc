#include <stddef.h>
#include <stdint.h>

/// libFuzzer as a function: runs `test` on inputs as the arguments say (LLVM's manual, "Using libFuzzer as a library").
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*test)(const uint8_t *data, size_t size));
