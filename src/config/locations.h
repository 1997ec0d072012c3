#pragma once

#include <filesystem>

namespace ncn::config {

// Where things are when nobody says otherwise. Each follows the environment (XDG base directories)
// and differs for root, who uses the system's folders. Call before threads exist.

// /var/lib/ncn for root, else $XDG_STATE_HOME/ncn, else ~/.local/state/ncn.
std::filesystem::path DefaultStateDir();

// The runtime image that runtime_image/build made last: <cache>/runtime-image/current/rootfs, where
// <cache> is $NCN_CACHE_DIR, else /var/cache/ncn for root, else $XDG_CACHE_HOME/ncn, else
// ~/.cache/ncn.
std::filesystem::path DefaultRuntimeImage();

// The folder of the running program, where its sister programs are.
std::filesystem::path ProgramDir();

// `path` as given when that exists; otherwise the same name where a checkout or an installation has
// it, seen from the running program; otherwise `path`.
std::filesystem::path FindBesideProgram(const std::filesystem::path& path);

}  // namespace ncn::config
