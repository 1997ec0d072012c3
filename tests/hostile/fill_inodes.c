// Makes as many empty files as its argument says.

#include "hostile.h"

int main(int argc, char** argv) {
  char path[64];
  const int count = argc > 1 ? atoi(argv[1]) : 4096;
  for (int i = 0; i < count; ++i) {
    snprintf(path, sizeof(path), "f%d", i);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return stopped("open");
    close(fd);
  }
  return 0;
}
