// Reads the memory of its parent.

#include <sys/uio.h>

#include "hostile.h"

int main(int argc, char** argv) {
  char mine[16];
  struct iovec local = {mine, sizeof(mine)}, remote = {mine, sizeof(mine)};
  (void)argc, (void)argv;
  // Its own will do to show that the call is to be had.
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) >= 0 ? 0
                                                                   : stopped("process_vm_readv");
}
