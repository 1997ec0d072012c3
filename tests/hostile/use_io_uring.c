// Sets up an io_uring, which does system calls that no filter sees.

#include <linux/io_uring.h>

#include "hostile.h"

int main(int argc, char** argv) {
  struct io_uring_params parameters;
  (void)argc, (void)argv;
  memset(&parameters, 0, sizeof(parameters));
  return syscall(SYS_io_uring_setup, 4, &parameters) >= 0 ? 0 : stopped("io_uring_setup");
}
