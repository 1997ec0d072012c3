// Connects to a port of this machine, by the stream or ("datagram") sends a datagram to it.

#include <arpa/inet.h>
#include <sys/socket.h>

#include "hostile.h"

int main(int argc, char** argv) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  const int type = argc > 2 ? SOCK_DGRAM : SOCK_STREAM;
  address.sin_port = htons((uint16_t)atoi(argv[1]));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return stopped("socket");
  if (connect(fd, (struct sockaddr*)&address, sizeof(address)) != 0) return stopped("connect");
  return send(fd, "x", 1, MSG_NOSIGNAL) == 1 ? 0 : stopped("send");
}
