// Follows a symbolic link of its own to the file that its argument names.

#include "hostile.h"

int main(int argc, char** argv) {
  if (symlink(argv[argc - 1], "link") != 0) return stopped("symlink");
  return try_open("link", O_RDONLY);
}
