// Looks whether it has any capability left.

#include <linux/capability.h>

#include "hostile.h"

int main(int argc, char** argv) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2] = {{0}};
  (void)argc, (void)argv;
  if (syscall(SYS_capget, &header, sets) != 0) return stopped("capget");
  errno = EPERM;
  return (sets[0].permitted | sets[1].permitted | sets[0].inheritable) != 0
             ? 0
             : stopped("capabilities");
}
