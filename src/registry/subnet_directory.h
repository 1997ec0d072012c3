#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/subnet.h"
#include "registry/registry_client.h"

namespace ncn::registry {

// The metadata that a caller accepted last; to be kept over restarts.
struct AcceptedSubnet {
  std::string owner_address;  // EIP-55; empty: none was accepted yet.
  std::uint64_t version = 0;
  bool is_signed = false;
  std::string digest;  // signing::SubnetDigest as hex; what one version says never changes.
};

// What `subnet` is when it has been accepted.
absl::StatusOr<AcceptedSubnet> Accepted(const inference::Subnet& subnet);

// Whom the caller believes.
struct SubnetTrust {
  std::string owner_address;  // Of the only owner, who must have signed; empty: any.
  AcceptedSubnet last;
};

// Why a registry's answer does not count.
struct RegistryProblem {
  std::string registry;
  absl::Status status;  // Its message begins with the registry's address.
};

struct SubnetAnswer {
  absl::StatusOr<inference::Subnet> subnet;
  std::vector<std::string> registries;    // That gave just this answer.
  std::vector<RegistryProblem> problems;  // Of the others.
};

// Asks all `registries` at once and chooses among what they answer:
//  1. Ignored, with a problem each: who cannot be reached, is malformed, names another subnet,
//     has a signature that its owner did not make, or breaks a rule of `trust`.
//  2. Whoever is signed comes before whoever is not; two owners that both sign are an error.
//  3. The highest version counts. Of registries that agree on it, all sources count, in the order
//     of the registries. One version with two contents is an error that names both registries.
// By the rules of `trust` a subnet must be signed by `owner_address` if that is given; one that was
// signed when it was accepted must be signed by the same owner again; no version may be lower than
// the last, and none of the last version may say something else (rollback, equivocation).
// Errors: Unavailable when no registry answered, NotFound when those that did know no such subnet,
// PermissionDenied when the rules leave nothing, FailedPrecondition for a contradiction; each
// message names every registry's problem.
SubnetAnswer FindSubnet(const std::vector<std::unique_ptr<RegistryClient>>& registries,
                        std::uint32_t subnet_id, const SubnetTrust& trust,
                        std::stop_token stop = {});

// The choice alone, of answers that RegistryClient::GetSubnet gave. In the order of the registries.
struct RegistryAnswer {
  std::string registry;
  absl::StatusOr<inference::Subnet> subnet;
};
SubnetAnswer ChooseSubnet(std::vector<RegistryAnswer> answers, const SubnetTrust& trust);

}  // namespace ncn::registry
