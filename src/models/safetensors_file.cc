// A safetensors file: the length of a JSON header (8 bytes, little-endian), the header, the data.
// The header is read as a stream of events, so that a hostile one cannot make a tree of any size.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/strings.h"
#include "models/content.h"

namespace ncn::models {
namespace {

// The format's own limit.
constexpr std::uint64_t kHeaderBytesMax = 100'000'000;
constexpr std::size_t kRankMax = 64;

// Bits of one element; 0 for a type that is not known here, whose size is then not checked.
std::uint64_t ElementBits(std::string_view dtype) {
  for (const std::string_view eight : {"BOOL", "U8", "I8"}) {
    if (dtype == eight) return 8;
  }
  if (dtype.starts_with("F8_")) return 8;
  for (const std::string_view sixteen : {"U16", "I16", "F16", "BF16"}) {
    if (dtype == sixteen) return 16;
  }
  for (const auto& [suffix, bits] : {std::pair("32", 32u), std::pair("64", 64u)}) {
    if (dtype.size() == 3 && std::string_view("UIF").find(dtype[0]) != std::string_view::npos &&
        dtype.ends_with(suffix)) {
      return bits;
    }
  }
  return 0;
}

// Checks the events of the header and collects where each tensor's data lies.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  using Range = std::pair<std::uint64_t, std::uint64_t>;

  std::vector<Range>& ranges() { return ranges_; }
  const std::string& error() const { return error_; }

  bool null() override { return Unexpected(); }
  bool boolean(bool) override { return Unexpected(); }
  bool number_integer(number_integer_t) override { return Unexpected(); }
  bool number_float(number_float_t, const string_t&) override { return Unexpected(); }
  bool binary(binary_t&) override { return Unexpected(); }

  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 3) return Unexpected();
    std::vector<std::uint64_t>& numbers = field_ == Field::kShape ? shape_ : offsets_;
    if (numbers.size() == kRankMax) return Unexpected();
    numbers.push_back(value);
    return true;
  }
  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_) return true;
    if (depth_ != 2 || field_ != Field::kDtype) return Unexpected();
    dtype_ = std::move(value);
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ > 1) return Unexpected();
    ++depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || field_ == Field::kDtype || field_ == Field::kNone) {
      return Unexpected();
    }
    ++depth_;
    return true;
  }
  bool end_array() override {
    --depth_;
    field_ = Field::kNone;
    return true;
  }
  bool end_object() override { return --depth_ != 1 || in_metadata_ || FinishTensor(); }

  bool key(string_t& key) override {
    if (depth_ == 1) {
      name_ = std::move(key);
      in_metadata_ = name_ == "__metadata__";
      dtype_.clear();
      shape_.clear();
      offsets_.clear();
      field_ = Field::kNone;
      return true;
    }
    field_ = key == "dtype"          ? Field::kDtype
             : key == "shape"        ? Field::kShape
             : key == "data_offsets" ? Field::kOffsets
                                     : Field::kNone;
    return in_metadata_ || field_ != Field::kNone || Unexpected();
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    if (error_.empty()) error_ = base::StrCat("with a header that is no JSON at byte ", position);
    return false;
  }

 private:
  enum class Field { kNone, kDtype, kShape, kOffsets };

  bool Unexpected() { return Fail("is not {dtype, shape, data_offsets}"); }
  bool Fail(std::string_view what) {
    error_ = base::StrCat("whose entry '",
                          absl::CHexEscape(base::ToAbsl(std::string_view(name_).substr(0, 80))),
                          "' ", what);
    return false;
  }
  bool FinishTensor() {
    if (dtype_.empty() || offsets_.size() != 2 || offsets_[0] > offsets_[1]) return Unexpected();
    std::uint64_t bits = ElementBits(dtype_);
    const bool known = bits != 0;
    for (const std::uint64_t dimension : shape_) {
      if (__builtin_mul_overflow(bits, dimension, &bits)) return Fail("has an impossible shape");
    }
    if (known && bits / 8 != offsets_[1] - offsets_[0]) {
      return Fail("has data of another size than its shape needs");
    }
    ranges_.emplace_back(offsets_[0], offsets_[1]);
    return true;
  }

  int depth_ = 0;
  bool in_metadata_ = false;
  Field field_ = Field::kNone;
  std::string name_;
  std::string dtype_;
  std::vector<std::uint64_t> shape_;
  std::vector<std::uint64_t> offsets_;
  std::vector<Range> ranges_;
  std::string error_;
};

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(base::StrCat("a safetensors file ", what));
}

// The tensors' data must cover the rest of the file, each byte once.
absl::Status CheckRanges(std::vector<HeaderReader::Range>& ranges, std::uint64_t data_bytes) {
  if (ranges.empty()) {
    return absl::InvalidArgumentError("a safetensors file without any tensor");
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t end = 0;
  for (const auto& [tensor_begin, tensor_end] : ranges) {
    if (tensor_begin != end) return Damaged("whose tensors overlap or leave gaps");
    end = tensor_end;
  }
  if (end > data_bytes) {
    return Damaged(base::StrCat("that is truncated: ", end, " bytes of tensors are announced, ",
                                data_bytes, " are there"));
  }
  if (end < data_bytes) {
    return Damaged(base::StrCat("with ", data_bytes - end, " bytes after its last tensor"));
  }
  return absl::OkStatus();
}

}  // namespace

Recognition RecognizeSafetensors(const FileView& file) {
  const std::string head = file.Read(0, 9);
  if (head.size() != 9 || head[8] != '{') return std::nullopt;
  const auto header_bytes = LittleEndian<std::uint64_t>(head, 0);
  if (header_bytes < 2 || header_bytes > kHeaderBytesMax) return std::nullopt;
  if (header_bytes > file.size_bytes() - 8) {
    return Damaged(base::StrCat("that is truncated: its header alone has ", header_bytes,
                                " bytes, the file ", file.size_bytes()));
  }
  const std::string header = file.Read(8, static_cast<std::size_t>(header_bytes));
  HeaderReader reader;
  if (!nlohmann::json::sax_parse(header, &reader)) return Damaged(reader.error());
  if (const absl::Status status =
          CheckRanges(reader.ranges(), file.size_bytes() - 8 - header_bytes);
      !status.ok()) {
    return status;
  }
  return ModelFormat::kSafetensors;
}

}  // namespace ncn::models
