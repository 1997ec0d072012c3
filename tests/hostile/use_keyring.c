// Adds a key to a keyring of the kernel.

#include <linux/keyctl.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1) >= 0
             ? 0
             : stopped("keyctl");
}
