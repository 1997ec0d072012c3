// Touches as many mebibytes as its argument says, spread over children.

#include "hostile.h"

int main(int argc, char** argv) {
  const int mebibytes = argc > 1 ? atoi(argv[1]) : 512;
  int failed = 0, status = 0;
  for (int i = 0; i < 8; ++i) {
    const pid_t child = fork();
    if (child < 0) return stopped("fork");
    if (child == 0) {
      const size_t size = (size_t)mebibytes / 8 << 20;
      char* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) _exit(1);
      for (size_t at = 0; at < size; at += 4096) memory[at] = 1;
      sleep(1);
      _exit(0);
    }
  }
  while (wait(&status) > 0) failed |= status;
  errno = ENOMEM;
  return failed == 0 ? 0 : stopped("children");
}
