// The program that makes sandboxes for compute_node: small and of a single thread, because a fork
// of the node itself would be slow and unsafe. Not for use by hand; the node starts and ends it.

#include <charconv>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "sandbox/launcher.h"

int main(int argc, char** argv) {
  int requests = -1, doorbell = -1;
  if (argc >= 3) {
    std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), requests);
    std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), doorbell);
  }
  if (requests < 3 || doorbell < 3) {
    std::fprintf(stderr, "sandbox_launcher is started by compute_node, not by hand\n");
    return 2;
  }
  return ncn::sandbox::RunLauncher(requests, doorbell,
                                   std::vector<std::string>(argv + 3, argv + argc));
}
