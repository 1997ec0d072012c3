#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "ncn/v2/gateway_client.pb.h"
#include "ncn/v2/gateway_compute.pb.h"
#include "wire/codec.h"
#include "wire/list_codec.h"
#include "wire/text.h"

namespace ncn::wire {
namespace {

constexpr std::size_t kAddressBytes = 42;
constexpr std::size_t kBinaryBytesMax = 256;  // Nonces and proofs.
constexpr std::uint64_t kDeadlineMsMax = 24ULL * 3600 * 1000;

// The states are numbered alike on both sides, shifted by UNSPECIFIED.
template <typename Proto, typename Enum>
Proto EncodeEnum(Enum value) {
  return static_cast<Proto>(static_cast<int>(value) + 1);
}

// What a later version adds, and UNSPECIFIED, become `otherwise`.
template <typename Enum>
Enum DecodeEnum(int number, Enum last, Enum otherwise) {
  return number >= 1 && number <= static_cast<int>(last) + 1 ? static_cast<Enum>(number - 1)
                                                             : otherwise;
}

std::uint32_t Saturated(std::chrono::milliseconds duration) {
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(duration.count(), 0, std::numeric_limits<std::uint32_t>::max()));
}

TaskState DecodeTaskState(int number) {
  return DecodeEnum(number, TaskState::kFailed, TaskState::kQueued);
}

// One overload per message; `out` is the message of the same name.
struct NodeEncoder {
  v2::NodeMessage* out;

  void operator()(const Unknown&) const {}
  void operator()(const Malformed&) const {}
  void operator()(const Hello& hello) const {
    v2::Hello* message = out->mutable_hello();
    message->set_protocol_version(hello.protocol_version);
    Encode(hello.info, message->mutable_info());
    message->set_wallet_proof(hello.wallet_proof);
    EncodeList(hello.running, kNameBytesMax, message->mutable_running());
    EncodeList(hello.unacknowledged, kNameBytesMax, message->mutable_unacknowledged());
  }
  void operator()(const Heartbeat& heartbeat) const {
    Encode(heartbeat.info, out->mutable_heartbeat()->mutable_info());
    out->mutable_heartbeat()->set_load_milli(heartbeat.load_milli);
  }
  void operator()(const Progress& progress) const {
    v2::Progress* message = out->mutable_progress();
    message->set_request_id(CleanText(progress.request_id, kNameBytesMax));
    message->set_state(EncodeEnum<v2::TaskState>(progress.state));
    message->set_done_permille(progress.done_permille);
    message->set_note(CleanText(progress.note, kTextBytesMax));
    message->set_partial_output(progress.partial.bytes);
    message->set_partial_content_type(CleanText(progress.partial.content_type, kNameBytesMax));
  }
  void operator()(const SharedResponse& response) const {
    Encode(*response, out->mutable_response());
  }
  void operator()(const Reject& reject) const {
    v2::Reject* message = out->mutable_reject();
    message->set_request_id(CleanText(reject.request_id, kNameBytesMax));
    message->set_reason(EncodeEnum<v2::RejectReason>(reject.reason));
    message->set_message(CleanText(reject.message, kTextBytesMax));
  }
  void operator()(const Goodbye& goodbye) const {
    out->mutable_goodbye()->set_reason(CleanText(goodbye.reason, kTextBytesMax));
    EncodeList(goodbye.unfinished, kNameBytesMax, out->mutable_goodbye()->mutable_unfinished());
  }
};

struct GatewayEncoder {
  v2::GatewayMessage* out;

  void operator()(const Unknown&) const {}
  void operator()(const Malformed&) const {}
  void operator()(const Challenge& challenge) const {
    v2::Challenge* message = out->mutable_challenge();
    message->set_nonce(challenge.nonce);
    message->set_gateway(CleanText(challenge.gateway, kNameBytesMax));
    message->set_protocol_version(challenge.protocol_version);
  }
  void operator()(const Welcome& welcome) const {
    v2::Welcome* message = out->mutable_welcome();
    message->set_session_id(CleanText(welcome.session_id, kNameBytesMax));
    message->set_heartbeat_interval_ms(Saturated(welcome.heartbeat_interval));
    message->set_message_bytes_max(welcome.message_bytes_max);
    message->set_gateway_version(CleanText(welcome.gateway_version, kNameBytesMax));
  }
  void operator()(const SharedRequest& request) const { Encode(*request, out->mutable_request()); }
  void operator()(const Cancel& cancel) const {
    out->mutable_cancel()->set_request_id(CleanText(cancel.request_id, kNameBytesMax));
    out->mutable_cancel()->set_reason(CleanText(cancel.reason, kTextBytesMax));
  }
  void operator()(const ResultAck& ack) const {
    out->mutable_ack()->set_request_id(CleanText(ack.request_id, kNameBytesMax));
    out->mutable_ack()->set_verdict(EncodeEnum<v2::AckVerdict>(ack.verdict));
    out->mutable_ack()->set_message(CleanText(ack.message, kTextBytesMax));
  }
  void operator()(const Drain& drain) const {
    out->mutable_drain()->set_reason(CleanText(drain.reason, kTextBytesMax));
    out->mutable_drain()->set_deadline_ms(Saturated(drain.deadline));
  }
};

absl::StatusOr<Hello> DecodeHello(v2::Hello& message) {
  RETURN_IF_ERROR(CheckText("hello.wallet_proof", message.wallet_proof(), kBinaryBytesMax));
  ASSIGN_OR_RETURN(NodeInfo info, Decode(std::move(*message.mutable_info())));
  ASSIGN_OR_RETURN(auto running,
                   DecodeList("hello.running", kNameBytesMax, message.mutable_running()));
  ASSIGN_OR_RETURN(auto unacknowledged, DecodeList("hello.unacknowledged", kNameBytesMax,
                                                   message.mutable_unacknowledged()));
  return Hello{.protocol_version = message.protocol_version(),
               .info = std::move(info),
               .wallet_proof = std::move(*message.mutable_wallet_proof()),
               .running = std::move(running),
               .unacknowledged = std::move(unacknowledged)};
}

// The partial output of a Progress or a TaskUpdate, whose field `name` bears.
template <typename Message>
absl::StatusOr<inference::Payload> DecodePartial(std::string_view name, Message& message) {
  RETURN_IF_ERROR(CheckText(name, message.partial_content_type(), kNameBytesMax));
  if (message.partial_output().size() > inference::kPartialBytesMax) {
    return absl::InvalidArgumentError(
        base::StrCat(name, ": more than ", inference::kPartialBytesMax, " bytes"));
  }
  return inference::Payload{std::move(*message.mutable_partial_output()),
                            std::move(*message.mutable_partial_content_type())};
}

absl::StatusOr<Progress> DecodeProgress(v2::Progress& message) {
  RETURN_IF_ERROR(CheckText("progress.request_id", message.request_id(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("progress.note", message.note(), kTextBytesMax));
  ASSIGN_OR_RETURN(inference::Payload partial, DecodePartial("progress.partial", message));
  return Progress{.request_id = std::move(*message.mutable_request_id()),
                  .state = DecodeTaskState(message.state()),
                  .done_permille = std::min(message.done_permille(), 1000U),
                  .note = CleanText(message.note(), kTextBytesMax),
                  .partial = std::move(partial)};
}

absl::StatusOr<Reject> DecodeReject(v2::Reject& message) {
  RETURN_IF_ERROR(CheckText("reject.request_id", message.request_id(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("reject.message", message.message(), kTextBytesMax));
  return Reject{
      .request_id = std::move(*message.mutable_request_id()),
      .reason = DecodeEnum(message.reason(), RejectReason::kDuplicate, RejectReason::kInvalid),
      .message = CleanText(message.message(), kTextBytesMax)};
}

absl::StatusOr<Goodbye> DecodeGoodbye(v2::Goodbye& message) {
  RETURN_IF_ERROR(CheckText("goodbye.reason", message.reason(), kTextBytesMax));
  ASSIGN_OR_RETURN(auto unfinished,
                   DecodeList("goodbye.unfinished", kNameBytesMax, message.mutable_unfinished()));
  return Goodbye{.reason = CleanText(message.reason(), kTextBytesMax),
                 .unfinished = std::move(unfinished)};
}

absl::StatusOr<Challenge> DecodeChallenge(v2::Challenge& message) {
  RETURN_IF_ERROR(CheckText("challenge.nonce", message.nonce(), kBinaryBytesMax));
  RETURN_IF_ERROR(CheckText("challenge.gateway", message.gateway(), kNameBytesMax));
  return Challenge{.nonce = std::move(*message.mutable_nonce()),
                   .gateway = CleanText(message.gateway(), kNameBytesMax),
                   .protocol_version = message.protocol_version()};
}

absl::StatusOr<Welcome> DecodeWelcome(v2::Welcome& message) {
  RETURN_IF_ERROR(CheckText("welcome.session_id", message.session_id(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("welcome.gateway_version", message.gateway_version(), kNameBytesMax));
  return Welcome{.session_id = CleanText(message.session_id(), kNameBytesMax),
                 .heartbeat_interval = std::chrono::milliseconds(message.heartbeat_interval_ms()),
                 .message_bytes_max = message.message_bytes_max(),
                 .gateway_version = CleanText(message.gateway_version(), kNameBytesMax)};
}

absl::StatusOr<Cancel> DecodeCancel(v2::Cancel& message) {
  RETURN_IF_ERROR(CheckText("cancel.request_id", message.request_id(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("cancel.reason", message.reason(), kTextBytesMax));
  return Cancel{.request_id = std::move(*message.mutable_request_id()),
                .reason = CleanText(message.reason(), kTextBytesMax)};
}

absl::StatusOr<ResultAck> DecodeAck(v2::ResultAck& message) {
  RETURN_IF_ERROR(CheckText("ack.request_id", message.request_id(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("ack.message", message.message(), kTextBytesMax));
  return ResultAck{
      .request_id = std::move(*message.mutable_request_id()),
      .verdict = DecodeEnum(message.verdict(), AckVerdict::kRefused, AckVerdict::kAccepted),
      .message = CleanText(message.message(), kTextBytesMax)};
}

absl::StatusOr<Drain> DecodeDrain(v2::Drain& message) {
  RETURN_IF_ERROR(CheckText("drain.reason", message.reason(), kTextBytesMax));
  return Drain{.reason = CleanText(message.reason(), kTextBytesMax),
               .deadline = std::chrono::milliseconds(
                   std::min<std::uint64_t>(message.deadline_ms(), kDeadlineMsMax))};
}

}  // namespace

void Encode(const NodeMessage& message, v2::NodeMessage* out) {
  out->set_credits(message.credits);
  std::visit(NodeEncoder{out}, message.body);
}

absl::StatusOr<NodeMessage> Decode(v2::NodeMessage&& message) {
  NodeMessage decoded{.credits = message.credits()};
  switch (message.message_case()) {
    case v2::NodeMessage::kHello: {
      ASSIGN_OR_RETURN(decoded.body, DecodeHello(*message.mutable_hello()));
      break;
    }
    case v2::NodeMessage::kHeartbeat: {
      ASSIGN_OR_RETURN(NodeInfo info,
                       Decode(std::move(*message.mutable_heartbeat()->mutable_info())));
      decoded.body = Heartbeat{std::move(info), message.heartbeat().load_milli()};
      break;
    }
    case v2::NodeMessage::kProgress: {
      ASSIGN_OR_RETURN(decoded.body, DecodeProgress(*message.mutable_progress()));
      break;
    }
    case v2::NodeMessage::kResponse: {
      std::string id = CleanText(message.response().request_id(), kNameBytesMax);
      auto response = Decode(std::move(*message.mutable_response()));
      if (response.ok()) {
        decoded.body = std::make_shared<const inference::InferenceResponse>(*std::move(response));
      } else {
        decoded.body = Malformed{std::move(id), response.status()};
      }
      break;
    }
    case v2::NodeMessage::kReject: {
      ASSIGN_OR_RETURN(decoded.body, DecodeReject(*message.mutable_reject()));
      break;
    }
    case v2::NodeMessage::kGoodbye: {
      ASSIGN_OR_RETURN(decoded.body, DecodeGoodbye(*message.mutable_goodbye()));
      break;
    }
    case v2::NodeMessage::MESSAGE_NOT_SET:
      break;
  }
  return decoded;
}

void Encode(const GatewayMessage& message, v2::GatewayMessage* out) {
  std::visit(GatewayEncoder{out}, message);
}

absl::StatusOr<GatewayMessage> Decode(v2::GatewayMessage&& message,
                                      const inference::RequestLimits& limits) {
  switch (message.message_case()) {
    case v2::GatewayMessage::kChallenge:
      return DecodeChallenge(*message.mutable_challenge());
    case v2::GatewayMessage::kWelcome:
      return DecodeWelcome(*message.mutable_welcome());
    case v2::GatewayMessage::kRequest: {
      std::string id = CleanText(message.request().request_id(), kNameBytesMax);
      auto request = Decode(std::move(*message.mutable_request()), limits);
      if (request.ok()) {
        return std::make_shared<const inference::InferenceRequest>(*std::move(request));
      }
      return Malformed{std::move(id), request.status()};
    }
    case v2::GatewayMessage::kCancel:
      return DecodeCancel(*message.mutable_cancel());
    case v2::GatewayMessage::kAck:
      return DecodeAck(*message.mutable_ack());
    case v2::GatewayMessage::kDrain:
      return DecodeDrain(*message.mutable_drain());
    case v2::GatewayMessage::MESSAGE_NOT_SET:
      break;
  }
  return Unknown{};
}

void Encode(const TaskUpdate& update, v2::TaskUpdate* out) {
  out->set_request_id(CleanText(update.request_id, kNameBytesMax));
  out->set_state(EncodeEnum<v2::TaskState>(update.state));
  out->set_done_permille(update.done_permille);
  out->set_note(CleanText(update.note, kTextBytesMax));
  out->set_partial_output(update.partial.bytes);
  out->set_partial_content_type(CleanText(update.partial.content_type, kNameBytesMax));
  out->set_node_address(CleanText(update.node_address, kAddressBytes));
  if (update.response) Encode(*update.response, out->mutable_response());
}

absl::StatusOr<TaskUpdate> Decode(v2::TaskUpdate&& message) {
  RETURN_IF_ERROR(CheckText("update.request_id", message.request_id(), kNameBytesMax));
  RETURN_IF_ERROR(CheckText("update.note", message.note(), kTextBytesMax));
  RETURN_IF_ERROR(CheckText("update.node_address", message.node_address(), kAddressBytes));
  ASSIGN_OR_RETURN(inference::Payload partial, DecodePartial("update.partial", message));
  TaskUpdate update{.request_id = std::move(*message.mutable_request_id()),
                    .state = DecodeTaskState(message.state()),
                    .done_permille = std::min(message.done_permille(), 1000U),
                    .note = CleanText(message.note(), kTextBytesMax),
                    .partial = std::move(partial),
                    .node_address = std::move(*message.mutable_node_address())};
  if (message.has_response()) {
    ASSIGN_OR_RETURN(auto response, Decode(std::move(*message.mutable_response())));
    update.response = std::make_shared<const inference::InferenceResponse>(std::move(response));
  }
  return update;
}

}  // namespace ncn::wire
