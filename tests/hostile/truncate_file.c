// Empties the file that its argument names.

#include "hostile.h"

int main(int argc, char** argv) {
  return truncate(argv[argc - 1], 0) == 0 ? 0 : stopped("truncate");
}
