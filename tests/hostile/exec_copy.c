// Runs a program that it wrote itself.

#include "hostile.h"

int main(int argc, char** argv) {
  char* words[] = {"copy", "done", NULL};
  if (argc > 1 && strcmp(argv[1], "done") == 0) return 0;
  copy_program("/proc/self/exe", "copy");
  execv("./copy", words);
  return stopped("execve");
}
