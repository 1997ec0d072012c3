// Opens a socket of the family and type that its arguments number.

#include <sys/socket.h>

#include "hostile.h"

int main(int argc, char** argv) {
  const int family = argc > 1 ? atoi(argv[1]) : AF_INET;
  const int type = argc > 2 ? atoi(argv[2]) : SOCK_STREAM;
  return socket(family, type | SOCK_CLOEXEC, 0) >= 0 ? 0 : stopped("socket");
}
