#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace ncn::transfer {

// The bytes [begin, end) of a file.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  std::uint64_t size() const { return end - begin; }
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

// A set of bytes of a file, kept as the fewest ranges. Not thread-safe.
class ByteRanges {
 public:
  void Add(ByteRange range);
  void Remove(ByteRange range);
  void Clear();

  // How many bytes there are.
  std::uint64_t size_bytes() const { return size_bytes_; }
  // How many there are from the file's begin on without a gap.
  std::uint64_t prefix_bytes() const;
  // The first stretch within [from, end) that is not in the set; empty, at `end`, if all is.
  ByteRange FirstGap(std::uint64_t from, std::uint64_t end) const;
  std::vector<ByteRange> ranges() const;

 private:
  std::map<std::uint64_t, std::uint64_t> ends_;  // By begin; never empty, overlapping or touching.
  std::uint64_t size_bytes_ = 0;
};

}  // namespace ncn::transfer
