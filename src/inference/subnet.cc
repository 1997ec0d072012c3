#include "inference/subnet.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "base/utf8.h"

namespace ncn::inference {
namespace {

constexpr std::size_t kNameBytesMax = 128;
constexpr std::size_t kComponentBytesMax = 255;
constexpr std::size_t kShownBytesMax = 80;
constexpr std::size_t kSignatureBytes = 65;
constexpr std::array<std::string_view, 4> kFormats = {"torchscript", "checkpoint", "onnx",
                                                      "safetensors"};

// What was found, as a message can show it.
std::string Shown(std::string_view text) {
  const bool cut = text.size() > kShownBytesMax;
  return base::StrCat("'", absl::CHexEscape(base::ToAbsl(text.substr(0, kShownBytesMax))),
                      cut ? "…'" : "'");
}

absl::Status Wrong(std::string_view field, std::string_view expected, std::string_view found) {
  return absl::InvalidArgumentError(
      base::StrCat(field, " must be ", expected, "; found ", Shown(found)));
}

absl::Status TooMany(std::string_view field, std::size_t found, std::size_t most) {
  return absl::InvalidArgumentError(
      base::StrCat(field, ": ", found, " are too many; at most ", most, " are allowed"));
}

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7F;
}

// Text for people or programs: visible, on one line.
absl::Status CheckLine(std::string_view field, std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max || std::any_of(text.begin(), text.end(), IsControl) ||
      !base::IsUtf8(text)) {
    return Wrong(field,
                 base::StrCat("one line of at most ", bytes_max,
                              " bytes of UTF-8 without control "
                              "characters"),
                 text);
  }
  return absl::OkStatus();
}

absl::Status CheckFile(const SubnetFile& file) {
  if (absl::Status status = CheckFilePath(file.path); !status.ok()) {
    return absl::InvalidArgumentError(base::StrCat("path ", base::ToStd(status.message())));
  }
  if (file.size_bytes > kFileBytesMax) {
    return absl::InvalidArgumentError(base::StrCat("size_bytes is ", file.size_bytes, "; at most ",
                                                   kFileBytesMax, " are allowed"));
  }
  if (!IsSha256(file.sha256)) {
    return Wrong("sha256", "64 lower-case hexadecimal digits", file.sha256);
  }
  if (file.sources.size() > kFileSourcesMax) {
    return TooMany("sources", file.sources.size(), kFileSourcesMax);
  }
  for (const std::string& source : file.sources) {
    if (source.empty()) return Wrong("sources", "addresses", source);
    RETURN_IF_ERROR(CheckLine("sources", source, kSourceBytesMax));
  }
  return absl::OkStatus();
}

// No path twice, and none that is a file here and a folder there.
absl::Status CheckPathsTogether(const std::vector<SubnetFile>& files) {
  std::set<std::string_view> paths;
  for (const SubnetFile& file : files) {
    if (!paths.insert(file.path).second) {
      return Wrong("files: path", "different for each file", file.path);
    }
  }
  for (const std::string_view path : paths) {
    for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
         slash = path.find('/', slash + 1)) {
      if (paths.contains(path.substr(0, slash))) {
        return Wrong(base::StrCat("files: path ", Shown(path)), "outside of every other file",
                     path.substr(0, slash));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckScript(const SubnetModel& model) {
  const std::string& script = model.executor_script;
  if (script.empty()) return absl::OkStatus();
  if (!CheckFilePath(script).ok() || script.find('/') != std::string::npos) {
    return Wrong("executor_script", "a plain file name", script);
  }
  const bool possible =
      std::any_of(model.files.begin(), model.files.end(),
                  [&](const SubnetFile& file) { return file.unpack || file.path == script; });
  if (possible) return absl::OkStatus();
  return Wrong("executor_script", "one of the model's files, or inside an archive to unpack",
               script);
}

absl::Status CheckModel(const SubnetModel& model) {
  RETURN_IF_ERROR(CheckLine("version", model.version, kNameBytesMax));
  if (std::find(kFormats.begin(), kFormats.end(), model.format) == kFormats.end()) {
    return Wrong("format", "torchscript, checkpoint, onnx or safetensors", model.format);
  }
  if (model.files.empty()) return absl::InvalidArgumentError("files: there are none");
  if (model.files.size() > kModelFilesMax) {
    return TooMany("files", model.files.size(), kModelFilesMax);
  }
  for (std::size_t i = 0; i < model.files.size(); ++i) {
    if (absl::Status status = CheckFile(model.files[i]); !status.ok()) {
      return absl::InvalidArgumentError(
          base::StrCat("files[", i, "].", base::ToStd(status.message())));
    }
  }
  RETURN_IF_ERROR(CheckPathsTogether(model.files));
  return CheckScript(model);
}

}  // namespace

absl::Status CheckFilePath(std::string_view path) {
  constexpr char kExpected[] = "a relative path of plain, visible names, such as weights/model.pt";
  const auto wrong = [&](std::string_view why) {
    return absl::InvalidArgumentError(
        base::StrCat("must be ", std::string_view(kExpected), "; found ", Shown(path), ", ", why));
  };
  if (path.empty()) return wrong("which is empty");
  if (path.size() > kFilePathBytesMax) {
    return wrong(base::StrCat("which has more than ", kFilePathBytesMax, " bytes"));
  }
  if (std::any_of(path.begin(), path.end(), [](char c) { return IsControl(c) || c == '\\'; })) {
    return wrong("which has a backslash or a control character");
  }
  if (!base::IsUtf8(path)) return wrong("which is not UTF-8");
  std::size_t depth = 0;
  for (std::size_t begin = 0; begin <= path.size(); ++depth) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view component = path.substr(begin, end - begin);
    if (component.empty()) return wrong("which has an empty component");
    if (component.front() == '.') return wrong("a component of which begins with a dot");
    if (component.size() > kComponentBytesMax) {
      return wrong(
          base::StrCat("a component of which has more than ", kComponentBytesMax, " bytes"));
    }
    begin = end + 1;
  }
  if (depth > kFilePathDepthMax) {
    return wrong(base::StrCat("which is more than ", kFilePathDepthMax, " levels deep"));
  }
  return absl::OkStatus();
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool IsAddressForm(std::string_view text) {
  return text.size() == 42 && text.starts_with("0x") &&
         std::all_of(text.begin() + 2, text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
         });
}

absl::Status Validate(const Subnet& subnet) {
  if (subnet.subnet_id == 0) return absl::InvalidArgumentError("subnet_id must be at least 1");
  RETURN_IF_ERROR(CheckLine("name", subnet.name, kNameBytesMax));
  if (!IsAddressForm(subnet.owner_address)) {
    return Wrong("owner_address", "0x and 40 hexadecimal digits", subnet.owner_address);
  }
  if (subnet.version == 0) return absl::InvalidArgumentError("version must be at least 1");
  const std::size_t signature_bytes = subnet.owner_signature.size();
  if (signature_bytes != 0 && signature_bytes != kSignatureBytes) {
    return absl::InvalidArgumentError(base::StrCat("owner_signature has ", signature_bytes,
                                                   " bytes; ", kSignatureBytes,
                                                   " or none are needed"));
  }
  if (subnet.models.size() > kSubnetModelsMax) {
    return TooMany("models", subnet.models.size(), kSubnetModelsMax);
  }
  std::set<std::string_view> names;
  for (const SubnetModel& model : subnet.models) {
    if (!names.insert(model.model.value()).second) {
      return absl::InvalidArgumentError(
          base::StrCat("models: '", model.model.value(), "' is there twice"));
    }
    if (absl::Status status = CheckModel(model); !status.ok()) {
      return absl::InvalidArgumentError(
          base::StrCat("model '", model.model.value(), "': ", base::ToStd(status.message())));
    }
  }
  return absl::OkStatus();
}

}  // namespace ncn::inference
