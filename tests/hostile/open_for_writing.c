// Opens the file that its argument names for writing.

#include "hostile.h"

int main(int argc, char** argv) { return try_open(argv[argc - 1], O_WRONLY); }
