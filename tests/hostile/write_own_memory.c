// Writes to a read-only page of its own through /proc/self/mem.

#include "hostile.h"

int main(int argc, char** argv) {
  static const char kConstant[64] = "constant";
  (void)argc, (void)argv;
  const int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
  if (fd < 0) return stopped("/proc/self/mem");
  return pwrite(fd, "x", 1, (off_t)(uintptr_t)kConstant) == 1 ? 0 : stopped("pwrite");
}
