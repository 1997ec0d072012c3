// Makes a system call by the 32-bit gate, where the numbers mean something else.

#include "hostile.h"

int main(int argc, char** argv) {
  long result = 20;  // getpid of the 32-bit table.
  (void)argc, (void)argv;
  __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
  if (result > 0) return 0;
  errno = (int)-result;
  return stopped("int 0x80");
}
