#include "sync/model_outcome.h"

#include "base/strings.h"
#include "sync/progress_text.h"

namespace ncn::sync {

std::string_view Name(ModelOutcome::Kind kind) {
  using Kind = ModelOutcome::Kind;
  switch (kind) {
    case Kind::kKept:
      return "kept";
    case Kind::kAdopted:
      return "adopted";
    case Kind::kInstalled:
      return "installed";
    case Kind::kRestored:
      return "restored";
    case Kind::kRemoved:
      return "removed";
    case Kind::kSkipped:
      return "skipped";
    case Kind::kFailed:
      return "failed";
  }
  return "";
}

std::string ToText(const ModelOutcome& outcome) {
  std::string text = base::StrCat(outcome.model, outcome.version.empty() ? "" : " ",
                                  outcome.version, ": ", Name(outcome.kind));
  if (outcome.size_bytes > 0) text += base::StrCat(" (", BytesText(outcome.size_bytes), ")");
  if (!outcome.status.ok()) text += base::StrCat(": ", std::string(outcome.status.message()));
  return text;
}

}  // namespace ncn::sync
