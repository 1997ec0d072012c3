// Allocates and touches as many mebibytes as its argument says.

#include "hostile.h"

int main(int argc, char** argv) {
  const size_t size = (size_t)(argc > 1 ? atoi(argv[1]) : 512) << 20;
  char* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return stopped("mmap");
  for (size_t i = 0; i < size; i += 4096) memory[i] = 1;
  return 0;
}
