#include <algorithm>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "ncn/v2/common_types.pb.h"
#include "wire/codec.h"
#include "wire/list_codec.h"
#include "wire/text.h"

namespace ncn::wire {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::system_clock;

constexpr std::size_t kAddressBytes = 42;
constexpr std::size_t kHashBytes = 32;
constexpr std::size_t kSignatureBytes = 65;
constexpr std::size_t kStepsMax = 1000;
// The year 2200 in microseconds: system_clock counts nanoseconds and ends in 2262.
constexpr std::int64_t kUnixMicrosMax = 7258118400LL * 1000000;

std::uint64_t Count(microseconds duration) {
  return static_cast<std::uint64_t>(std::max<microseconds::rep>(duration.count(), 0));
}

microseconds Micros(std::uint64_t count) {
  return microseconds(std::min<std::uint64_t>(count, kUnixMicrosMax));
}

std::int64_t UnixMicros(system_clock::time_point time) {
  return duration_cast<microseconds>(time.time_since_epoch()).count();
}

system_clock::time_point FromUnixMicros(std::int64_t micros) {
  return system_clock::time_point(
      microseconds(std::clamp<std::int64_t>(micros, 0, kUnixMicrosMax)));
}

void EncodeRecord(const inference::ExecutionRecord& record, v2::ExecutionRecord* out) {
  out->set_model_hash(CleanText(record.model_hash, kNameBytesMax));
  out->set_executor(CleanText(record.executor, kNameBytesMax));
  out->set_executor_hash(CleanText(record.executor_hash, kNameBytesMax));
  out->set_image_digest(CleanText(record.image_digest, kNameBytesMax));
  out->set_sandbox_mode(CleanText(record.sandbox_mode, kNameBytesMax));
  out->set_isolation(CleanText(record.isolation, kNameBytesMax));
  out->set_policy_hash(CleanText(record.policy_hash, kNameBytesMax));
  EncodeList(record.layers, kNameBytesMax, out->mutable_layers());
  out->mutable_usage()->set_wall_us(Count(record.usage.wall));
  out->mutable_usage()->set_cpu_us(Count(record.usage.cpu));
  out->mutable_usage()->set_peak_memory_bytes(record.usage.peak_memory_bytes);
  out->set_started_at_us(UnixMicros(record.started_at));
  out->set_finished_at_us(UnixMicros(record.finished_at));
  const std::size_t steps = std::min(record.steps.size(), kStepsMax);
  for (std::size_t i = 0; i < steps; ++i) {
    v2::StepTime* step = out->add_steps();
    step->set_step(CleanText(record.steps[i].step, kNameBytesMax));
    step->set_duration_us(Count(record.steps[i].duration));
  }
  EncodeList(record.notes, kTextBytesMax, out->mutable_notes());
}

absl::Status CheckRecordTexts(const v2::ExecutionRecord& record) {
  RETURN_IF_ERROR(CheckText("record.model_hash", record.model_hash(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("record.executor", record.executor(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("record.executor_hash", record.executor_hash(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("record.image_digest", record.image_digest(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("record.sandbox_mode", record.sandbox_mode(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("record.isolation", record.isolation(), kNameBytesMax));
  return CheckText("record.policy_hash", record.policy_hash(), kNameBytesMax);
}

absl::StatusOr<std::vector<inference::StepTime>> DecodeSteps(v2::ExecutionRecord& record) {
  if (static_cast<std::size_t>(record.steps_size()) > kStepsMax) {
    return absl::InvalidArgumentError(base::StrCat(
        "record.steps has ", record.steps_size(), " entries; at most ", kStepsMax, " are allowed"));
  }
  std::vector<inference::StepTime> steps;
  steps.reserve(static_cast<std::size_t>(record.steps_size()));
  for (v2::StepTime& step : *record.mutable_steps()) {
    RETURN_IF_ERROR(CheckText("record.steps", step.step(), kNameBytesMax));
    steps.push_back({std::move(*step.mutable_step()), Micros(step.duration_us())});
  }
  return steps;
}

absl::StatusOr<inference::ExecutionRecord> DecodeRecord(v2::ExecutionRecord&& record) {
  RETURN_IF_ERROR(CheckRecordTexts(record));
  ASSIGN_OR_RETURN(auto layers,
                   DecodeList("record.layers", kNameBytesMax, record.mutable_layers()));
  ASSIGN_OR_RETURN(auto notes, DecodeList("record.notes", kTextBytesMax, record.mutable_notes()));
  ASSIGN_OR_RETURN(auto steps, DecodeSteps(record));
  return inference::ExecutionRecord{
      .model_hash = std::move(*record.mutable_model_hash()),
      .executor = std::move(*record.mutable_executor()),
      .executor_hash = std::move(*record.mutable_executor_hash()),
      .image_digest = std::move(*record.mutable_image_digest()),
      .sandbox_mode = std::move(*record.mutable_sandbox_mode()),
      .isolation = std::move(*record.mutable_isolation()),
      .policy_hash = std::move(*record.mutable_policy_hash()),
      .layers = std::move(layers),
      .usage = {.wall = Micros(record.usage().wall_us()),
                .cpu = Micros(record.usage().cpu_us()),
                .peak_memory_bytes = record.usage().peak_memory_bytes()},
      .started_at = FromUnixMicros(record.started_at_us()),
      .finished_at = FromUnixMicros(record.finished_at_us()),
      .steps = std::move(steps),
      .notes = std::move(notes),
  };
}

absl::StatusOr<inference::Failure> DecodeFailure(v2::Failure&& failure) {
  RETURN_IF_ERROR(CheckText("failure.kind", failure.kind(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("failure.message", failure.message(), kTextBytesMax));
  RETURN_IF_ERROR(CheckText("failure.cure", failure.cure(), kTextBytesMax));
  RETURN_IF_ERROR(CheckText("failure.detail", failure.detail(), kTextBytesMax));
  return inference::Failure{
      .kind = inference::FailureKindFromName(failure.kind())
                  .value_or(inference::FailureKind::kInternal),
      .message = CleanText(failure.message(), kTextBytesMax),
      .cure = CleanText(failure.cure(), kTextBytesMax),
      .detail = CleanText(failure.detail(), kTextBytesMax),
  };
}

absl::Status CheckExactBytes(std::string_view field, std::string_view bytes, std::size_t wanted) {
  if (bytes.size() == wanted) return absl::OkStatus();
  return absl::InvalidArgumentError(
      base::StrCat(field, " has ", bytes.size(), " bytes; ", wanted, " are needed"));
}

absl::StatusOr<inference::ResultSignature> DecodeSignature(v2::InferenceResponse& message) {
  RETURN_IF_ERROR(CheckExactBytes("response_hash", message.response_hash(), kHashBytes));
  RETURN_IF_ERROR(
      CheckExactBytes("response_signature", message.response_signature(), kSignatureBytes));
  RETURN_IF_ERROR(CheckExactBytes("signer_address", message.signer_address(), kAddressBytes));
  RETURN_IF_ERROR(CheckText("completion_validation", message.completion_validation(),
                            kAttestationTextBytesMax));
  if (message.timestamp() < 0 || message.timestamp() > kUnixMicrosMax / 1000000) {
    return absl::InvalidArgumentError("timestamp is no Unix time in seconds");
  }
  return inference::ResultSignature{
      .response_hash = std::move(*message.mutable_response_hash()),
      .response_signature = std::move(*message.mutable_response_signature()),
      .timestamp_seconds = message.timestamp(),
      .signer_address = std::move(*message.mutable_signer_address()),
      .completion_validation = std::move(*message.mutable_completion_validation()),
  };
}

}  // namespace

void Encode(const inference::InferenceResponse& response, v2::InferenceResponse* out) {
  out->set_request_id(response.request_id.value());
  out->set_model(response.model.value());
  if (!response.ok()) {
    const inference::Failure& failure = response.failure();
    out->set_status(v2::RESPONSE_STATUS_FAILED);
    out->mutable_failure()->set_kind(std::string(inference::Name(failure.kind)));
    out->mutable_failure()->set_message(CleanText(failure.message, kTextBytesMax));
    out->mutable_failure()->set_cure(CleanText(failure.cure, kTextBytesMax));
    out->mutable_failure()->set_detail(CleanText(failure.detail, kTextBytesMax));
    return;
  }
  const inference::InferenceResult& result = response.result();
  out->set_status(v2::RESPONSE_STATUS_OK);
  out->set_output_data(result.output.bytes);
  out->set_content_type(CleanText(result.output.content_type, kNameBytesMax));
  EncodeRecord(result.record, out->mutable_record());
  out->set_response_hash(response.signature.response_hash);
  out->set_response_signature(response.signature.response_signature);
  out->set_timestamp(response.signature.timestamp_seconds);
  out->set_signer_address(CleanText(response.signature.signer_address, kAddressBytes));
  out->set_completion_validation(
      CleanText(response.signature.completion_validation, kAttestationTextBytesMax));
}

absl::StatusOr<inference::InferenceResponse> Decode(v2::InferenceResponse&& message) {
  ASSIGN_OR_RETURN(auto id, inference::RequestId::Parse(message.request_id()));
  ASSIGN_OR_RETURN(auto model, inference::ModelId::Parse(message.model()));
  if (message.status() == v2::RESPONSE_STATUS_FAILED) {
    if (!message.has_failure()) return absl::InvalidArgumentError("failure is absent");
    ASSIGN_OR_RETURN(auto failure, DecodeFailure(std::move(*message.mutable_failure())));
    return inference::InferenceResponse{
        .request_id = std::move(id), .model = std::move(model), .outcome = std::move(failure)};
  }
  if (message.status() != v2::RESPONSE_STATUS_OK) {
    return absl::InvalidArgumentError("status is neither OK nor FAILED");
  }
  if (!inference::IsMediaType(message.content_type())) {
    return absl::InvalidArgumentError("content_type is not a media type");
  }
  ASSIGN_OR_RETURN(auto signature, DecodeSignature(message));
  ASSIGN_OR_RETURN(auto record, DecodeRecord(std::move(*message.mutable_record())));
  return inference::InferenceResponse{
      .request_id = std::move(id),
      .model = std::move(model),
      .outcome = inference::InferenceResult{.output = {std::move(*message.mutable_output_data()),
                                                       std::move(*message.mutable_content_type())},
                                            .record = std::move(record)},
      .signature = std::move(signature),
  };
}

}  // namespace ncn::wire
