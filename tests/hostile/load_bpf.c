// Makes a BPF map.

#include <linux/bpf.h>

#include "hostile.h"

int main(int argc, char** argv) {
  union bpf_attr attributes;
  (void)argc, (void)argv;
  memset(&attributes, 0, sizeof(attributes));
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = 4;
  attributes.value_size = 4;
  attributes.max_entries = 1;
  return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)) >= 0 ? 0
                                                                                : stopped("bpf");
}
