// Moves a file of its own into the folder that its argument names.

#include "hostile.h"

int main(int argc, char** argv) {
  char path[4096];
  const int fd = open("mine", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return stopped("open");
  snprintf(path, sizeof(path), "%s/moved", argv[argc - 1]);
  return rename("mine", path) == 0 ? 0 : stopped("rename");
}
