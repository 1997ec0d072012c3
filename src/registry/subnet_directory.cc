#include "registry/subnet_directory.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "base/strings.h"
#include "signing/subnet_signature.h"

namespace ncn::registry {
namespace {

using inference::Subnet;

struct Candidate {
  std::string registry;
  Subnet subnet;
  std::string digest;

  bool is_signed() const { return !subnet.owner_signature.empty(); }
};

std::string Describe(const Candidate& candidate) {
  return base::StrCat("registry ", candidate.registry, ": version ", candidate.subnet.version,
                      candidate.is_signed() ? " signed by " : ", not signed, of ",
                      candidate.subnet.owner_address);
}

absl::StatusOr<std::string> DigestOf(const Subnet& subnet) {
  ASSIGN_OR_RETURN(const base::Digest digest, signing::SubnetDigest(subnet));
  return base::AsHex(digest);
}

// Addresses are the same in any case; EIP-55 only adds a checksum. Both have been parsed.
bool SameAddress(std::string_view a, std::string_view b) {
  const auto left = signing::EthereumAddress::Parse(a);
  const auto right = signing::EthereumAddress::Parse(b);
  return left.ok() && right.ok() && *left == *right;
}

absl::Status CheckOwner(const Candidate& candidate, const SubnetTrust& trust) {
  const auto check = [&](const std::string& owner, std::string_view because) -> absl::Status {
    if (candidate.is_signed() && SameAddress(candidate.subnet.owner_address, owner)) {
      return absl::OkStatus();
    }
    return absl::PermissionDeniedError(
        base::StrCat(Describe(candidate), ", but it must be signed by ", owner, because));
  };
  if (!trust.owner_address.empty()) {
    RETURN_IF_ERROR(check(trust.owner_address, ", the owner that was configured"));
  }
  if (trust.last.is_signed) {
    return check(trust.last.owner_address,
                 ", who signed what was accepted before; if the subnet really has a new owner, "
                 "configure that address as its owner and forget what was accepted");
  }
  return absl::OkStatus();
}

absl::Status CheckNotOlder(const Candidate& candidate, const AcceptedSubnet& last) {
  if (candidate.subnet.version < last.version) {
    return absl::PermissionDeniedError(
        base::StrCat(Describe(candidate), ", but version ", last.version,
                     " was accepted before; an older one is never taken again"));
  }
  if (candidate.subnet.version == last.version && !last.digest.empty() &&
      candidate.digest != last.digest) {
    return absl::PermissionDeniedError(base::StrCat(
        Describe(candidate), ", but what was accepted as this version said something else"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Candidate> Admit(RegistryAnswer&& answer, const SubnetTrust& trust) {
  RETURN_IF_ERROR(answer.subnet.status());
  Candidate candidate{.registry = std::move(answer.registry), .subnet = *std::move(answer.subnet)};
  const auto digest = DigestOf(candidate.subnet);
  if (!digest.ok()) {
    return absl::DataLossError(base::StrCat("registry ", candidate.registry, ": ",
                                            base::ToStd(digest.status().message())));
  }
  candidate.digest = *digest;
  RETURN_IF_ERROR(CheckOwner(candidate, trust));
  RETURN_IF_ERROR(CheckNotOlder(candidate, trust.last));
  return candidate;
}

// Moves the candidates that `fails` says something against to the problems.
template <typename F>
void Drop(std::vector<Candidate>& candidates, std::vector<RegistryProblem>& problems, F&& fails) {
  std::erase_if(candidates, [&](const Candidate& candidate) {
    const std::optional<std::string> why = fails(candidate);
    if (why) {
      problems.push_back({candidate.registry, absl::FailedPreconditionError(base::StrCat(
                                                  Describe(candidate), ", but ", *why))});
    }
    return why.has_value();
  });
}

absl::Status Contradiction(const Candidate& a, const Candidate& b, std::string_view cure) {
  return absl::FailedPreconditionError(base::StrCat(
      "the registries contradict each other: ", Describe(a), "; ", Describe(b), "; ", cure));
}

std::string Join(const std::vector<RegistryProblem>& problems) {
  return absl::StrJoin(problems, "; ", [](std::string* out, const RegistryProblem& problem) {
    out->append(problem.status.message().data(), problem.status.message().size());
  });
}

// Of several problems, the one that the operator can do most about.
absl::Status NobodyLeft(const std::vector<RegistryProblem>& problems) {
  if (problems.empty()) return absl::FailedPreconditionError("no registry is configured");
  const auto all = [&](auto is) {
    return std::all_of(problems.begin(), problems.end(),
                       [&](const RegistryProblem& problem) { return is(problem.status); });
  };
  const auto is_away = [](const absl::Status& status) {
    return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  };
  const std::string text = Join(problems);
  if (all(absl::IsCancelled)) return absl::CancelledError(text);
  if (all(is_away)) return absl::UnavailableError(text);
  if (all([&](const absl::Status& s) { return is_away(s) || absl::IsNotFound(s); })) {
    return absl::NotFoundError(text);
  }
  return absl::PermissionDeniedError(text);
}

// The sources of `from` that `into` does not have; both say the same otherwise.
void MergeSources(const Subnet& from, Subnet& into) {
  for (std::size_t m = 0; m < into.models.size(); ++m) {
    for (std::size_t f = 0; f < into.models[m].files.size(); ++f) {
      std::vector<std::string>& sources = into.models[m].files[f].sources;
      for (const std::string& source : from.models[m].files[f].sources) {
        if (sources.size() >= inference::kFileSourcesMax) break;
        if (std::find(sources.begin(), sources.end(), source) == sources.end()) {
          sources.push_back(source);
        }
      }
    }
  }
}

absl::StatusOr<Subnet> Choose(std::vector<Candidate>& candidates,
                              std::vector<RegistryProblem>& problems) {
  const auto some_signed =
      std::find_if(candidates.begin(), candidates.end(), [](auto& c) { return c.is_signed(); });
  if (some_signed != candidates.end()) {
    const std::string owner = some_signed->subnet.owner_address;
    Drop(candidates, problems, [](const Candidate& c) -> std::optional<std::string> {
      if (c.is_signed()) return std::nullopt;
      return "another registry has it signed";
    });
    for (const Candidate& candidate : candidates) {
      if (!SameAddress(candidate.subnet.owner_address, owner)) {
        return Contradiction(candidates.front(), candidate,
                             "configure the address of the owner to believe");
      }
    }
  }
  if (candidates.empty()) return NobodyLeft(problems);
  const std::uint64_t newest =
      std::max_element(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
        return a.subnet.version < b.subnet.version;
      })->subnet.version;
  Drop(candidates, problems, [&](const Candidate& c) -> std::optional<std::string> {
    if (c.subnet.version == newest) return std::nullopt;
    return base::StrCat("another registry has version ", newest);
  });
  for (const Candidate& candidate : candidates) {
    if (candidate.digest != candidates.front().digest) {
      return Contradiction(candidates.front(), candidate,
                           candidate.is_signed()
                               ? "the owner signed two contents of one version and must publish "
                                 "a new one"
                               : "one version has two contents; configure the owner's address, or "
                                 "fewer registries");
    }
  }
  Subnet chosen = std::move(candidates.front().subnet);
  for (std::size_t i = 1; i < candidates.size(); ++i) MergeSources(candidates[i].subnet, chosen);
  return chosen;
}

}  // namespace

absl::StatusOr<AcceptedSubnet> Accepted(const Subnet& subnet) {
  ASSIGN_OR_RETURN(std::string digest, DigestOf(subnet));
  return AcceptedSubnet{.owner_address = subnet.owner_address,
                        .version = subnet.version,
                        .is_signed = !subnet.owner_signature.empty(),
                        .digest = std::move(digest)};
}

SubnetAnswer ChooseSubnet(std::vector<RegistryAnswer> answers, const SubnetTrust& trust) {
  SubnetAnswer answer{.subnet = absl::UnknownError("")};
  std::vector<Candidate> candidates;
  for (RegistryAnswer& given : answers) {
    const std::string registry = given.registry;
    auto candidate = Admit(std::move(given), trust);
    if (candidate.ok()) {
      candidates.push_back(*std::move(candidate));
    } else {
      answer.problems.push_back({registry, candidate.status()});
    }
  }
  answer.subnet = Choose(candidates, answer.problems);
  if (answer.subnet.ok()) {
    for (const Candidate& candidate : candidates) answer.registries.push_back(candidate.registry);
  }
  return answer;
}

SubnetAnswer FindSubnet(const std::vector<std::unique_ptr<RegistryClient>>& registries,
                        std::uint32_t subnet_id, const SubnetTrust& trust, std::stop_token stop) {
  std::vector<RegistryAnswer> answers;
  for (const auto& registry : registries) {
    answers.push_back({registry->address(), absl::UnknownError("")});
  }
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < registries.size(); ++i) {
      threads.emplace_back(
          [&, i] { answers[i].subnet = registries[i]->GetSubnet(subnet_id, stop); });
    }
  }
  return ChooseSubnet(std::move(answers), trust);
}

}  // namespace ncn::registry
