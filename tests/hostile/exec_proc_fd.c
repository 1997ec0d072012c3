// Runs a program that it wrote itself by way of /proc/self/fd.

#include "hostile.h"

int main(int argc, char** argv) {
  char path[64];
  if (argc > 1 && strcmp(argv[1], "done") == 0) return 0;
  copy_program("/proc/self/exe", "copy");
  const int fd = open("copy", O_RDONLY);
  snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
  char* words[] = {"copy", "done", NULL};
  execv(path, words);
  return stopped("execve");
}
