#include "executors/runtime_environment.h"

#include <nlohmann/json.hpp>
#include <system_error>

#include "base/files.h"
#include "base/strings.h"

namespace ncn::executors {
namespace fs = std::filesystem;
namespace {

// The digest that the image's builder wrote beside it; empty for any other root file system.
std::string DigestOf(const fs::path& image) {
  constexpr std::size_t kDescriptionBytesMax = 4 << 20;
  const auto text = base::ReadFile(image.parent_path() / "image.json", kDescriptionBytesMax);
  if (!text.ok()) return "";
  const auto description = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!description.is_object()) return "";
  const auto digest = description.find("digest");
  return digest != description.end() && digest->is_string() ? digest->get<std::string>() : "";
}

// Debian's, whose names end in a version: the shortest one, which outlives smaller releases.
std::string OnnxRuntimeIn(const fs::path& image) {
  constexpr std::string_view kFolder = "/usr/lib/x86_64-linux-gnu";
  constexpr std::string_view kPrefix = "libonnxruntime.so.";
  std::string shortest;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(base::StrCat(image.native(), kFolder), error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    if (shortest.empty() || name.size() < shortest.size()) shortest = name;
  }
  return shortest.empty() ? "" : base::StrCat(kFolder, "/", shortest);
}

}  // namespace

absl::StatusOr<RuntimeEnvironment> RuntimeEnvironment::Locate(const fs::path& executors_path,
                                                              const fs::path& image) {
  std::error_code error;
  const fs::path venv = fs::canonical(executors_path, error) / "venv";
  if (!error && fs::exists(venv / "bin" / "python3", error)) {
    return RuntimeEnvironment{.root = "/",
                              .venv = venv,
                              .python = base::StrCat(kVenvInside, "/bin/python3"),
                              .onnxruntime = "",
                              .digest = ""};
  }
  const fs::path root = fs::canonical(image, error);
  // The interpreter is a link within the image, so its target is not looked at from here.
  if (error || !fs::exists(fs::symlink_status(root / "usr/bin/python3", error))) {
    return absl::NotFoundError(base::StrCat("no runtime image at ", image.native(),
                                            " and no virtual environment at ",
                                            (executors_path / "venv").native(),
                                            "; run runtime_image/build, or make the virtual "
                                            "environment as python_executors/README.md says"));
  }
  return RuntimeEnvironment{.root = root,
                            .venv = {},
                            .python = "/usr/bin/python3",
                            .onnxruntime = OnnxRuntimeIn(root),
                            .digest = DigestOf(root)};
}

}  // namespace ncn::executors
