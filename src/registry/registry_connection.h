#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "ncn/v2/p2p_registry.grpc.pb.h"
#include "registry/registry_client.h"

namespace ncn::registry {

// What the calls of a client share. Thread-safe.
class RegistryClient::Connection {
 public:
  using Stub = v2::P2PRegistryService::Stub;

  Connection(std::string address, std::string authority, const ClientOptions& options,
             const std::shared_ptr<grpc::Channel>& channel)
      : address_(std::move(address)),
        authority_(std::move(authority)),
        options_(options),
        stub_(v2::P2PRegistryService::NewStub(channel)) {}

  const std::string& address() const { return address_; }
  // host:port, what the registry is reached by.
  const std::string& authority() const { return authority_; }
  const ClientOptions& options() const { return options_; }
  Stub& stub() { return *stub_; }

  // One call with one answer, within the call time-out.
  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response, std::stop_token stop = {}) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + options_.call_timeout);
    const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
    return Explain((stub_.get()->*method)(&context, request, response), stop);
  }

  // An error as the operator should see it.
  absl::Status Explain(const grpc::Status& status, const std::stop_token& stop) const;
  // `status` with the registry's address before its message.
  absl::Status Annotate(const absl::Status& status) const;
  // What the registry answered cannot be right.
  absl::Status Lie(std::string_view what) const;

 private:
  const std::string address_;
  const std::string authority_;
  const ClientOptions options_;
  const std::unique_ptr<Stub> stub_;
};

}  // namespace ncn::registry
