#pragma once

#include <string>
#include <vector>

namespace ncn::sandbox {

// One layer of the sandbox on this machine.
struct LayerProbe {
  std::string layer;  // "landlock"
  bool available = false;
  bool required = true;  // Whether strict mode refuses to run without it.
  std::string detail;    // "ABI 7", or what failed.
  std::string cure;      // What to do when it is not available; a sentence.
};

// Tries every layer for real, by running a trivial command under `launcher_path` (empty: the
// default one), and says of each whether it holds. Takes some milliseconds.
std::vector<LayerProbe> ProbeLayers(const std::string& launcher_path);

// Whether strict mode would run.
bool StrictWouldRun(const std::vector<LayerProbe>& layers);

}  // namespace ncn::sandbox
