// A record of a partial file may be torn, or written by anybody with access to the folder.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "transfer/resume_record.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  bytes.resize(ncn::transfer::kResumeRecordBytes, ' ');
  const auto record = ncn::transfer::ParseResumeRecord(bytes);
  if (!record.ok()) return 0;
  std::uint64_t end = 0;
  for (const ncn::transfer::ByteRange& range : record->present) {
    if (range.begin >= range.end || (range.begin <= end && end != 0)) std::abort();
    end = range.end;
  }
  if (end > record->size_bytes) std::abort();
  return 0;
}
