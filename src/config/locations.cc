#include "config/locations.h"

#include <unistd.h>

#include <cstdlib>
#include <system_error>

namespace ncn::config {
namespace fs = std::filesystem;
namespace {

fs::path FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? fs::path(value) : fs::path();
}

// The folder that variable `xdg` names, or `fallback` below the home directory, or /tmp without
// one.
fs::path XdgFolder(const char* xdg, const char* fallback) {
  if (fs::path folder = FromEnvironment(xdg); folder.is_absolute()) return folder / "ncn";
  if (fs::path home = FromEnvironment("HOME"); home.is_absolute()) return home / fallback / "ncn";
  return fs::path("/tmp") / ("ncn-" + std::to_string(::geteuid()));
}

}  // namespace

fs::path DefaultStateDir() {
  if (::geteuid() == 0) return "/var/lib/ncn";
  return XdgFolder("XDG_STATE_HOME", ".local/state");
}

fs::path DefaultRuntimeImage() {
  fs::path cache = FromEnvironment("NCN_CACHE_DIR");
  if (cache.empty()) {
    cache = ::geteuid() == 0 ? fs::path("/var/cache/ncn") : XdgFolder("XDG_CACHE_HOME", ".cache");
  }
  return cache / "runtime-image" / "current" / "rootfs";
}

fs::path ProgramDir() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path(".") : program.parent_path();
}

fs::path FindBesideProgram(const fs::path& path) {
  std::error_code error;
  if (path.is_absolute() || fs::exists(path, error)) return path;
  for (const char* up : {"..", "../..", "../share/ncn"}) {
    const fs::path candidate = ProgramDir() / up / path;
    if (fs::exists(candidate, error)) return fs::weakly_canonical(candidate, error);
  }
  return path;
}

}  // namespace ncn::config
