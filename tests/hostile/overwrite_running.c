// Overwrites the program that runs by way of /proc/self/exe (CVE-2019-5736): the descriptor of it
// outlives the program, which is busy only while it runs.

#include "hostile.h"

int main(int argc, char** argv) {
  char line[128];
  (void)argc, (void)argv;
  const int fd = open("/proc/self/exe", O_PATH);
  if (fd < 0) return stopped("/proc/self/exe");
  snprintf(line, sizeof(line), "( : >/proc/self/fd/%d ) || exit 1", fd);
  execl("/usr/bin/sh", "sh", "-c", line, (char*)NULL);
  return stopped("sh");
}
