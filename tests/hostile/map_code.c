// Maps a file that it wrote itself as code.

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  copy_program("/usr/bin/true", "copy");
  const int fd = open("copy", O_RDONLY | O_CLOEXEC);
  void* code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
  return code != MAP_FAILED ? 0 : stopped("mmap");
}
