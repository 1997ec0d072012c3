#include "reference/registry_records.h"

#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "wire/codec.h"

namespace ncn::reference {
namespace {

constexpr char kSchema[] = R"(
CREATE TABLE subnets (
  subnet_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  owner TEXT NOT NULL,
  version INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  metadata BLOB NOT NULL
) STRICT;
CREATE TABLE files (
  sha256 TEXT NOT NULL,
  subnet_id INTEGER NOT NULL REFERENCES subnets,
  PRIMARY KEY (sha256, subnet_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX files_of_subnets ON files (subnet_id);
CREATE TABLE nodes (
  address TEXT PRIMARY KEY,
  token_hash BLOB NOT NULL,
  node BLOB NOT NULL
) STRICT, WITHOUT ROWID;
)";

absl::Status NoSubnet(std::uint32_t subnet_id) {
  return absl::NotFoundError(base::StrCat("there is no subnet ", subnet_id));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RegistryRecords>> RegistryRecords::Open(
    const std::filesystem::path& file, const Limits& limits) {
  ASSIGN_OR_RETURN(base::Database database, base::Database::Open(file, kSchema));
  return std::unique_ptr<RegistryRecords>(new RegistryRecords(std::move(database), limits));
}

RegistryRecords::RegistryRecords(base::Database database, const Limits& limits)
    : limits_(limits), database_(std::move(database)) {}

absl::StatusOr<v2::Subnet> RegistryRecords::Get(std::uint32_t subnet_id) {
  std::string metadata;
  {
    std::lock_guard lock(mutex_);
    ASSIGN_OR_RETURN(base::Statement select,
                     database_.Prepare("SELECT metadata FROM subnets WHERE subnet_id = ?1"));
    ASSIGN_OR_RETURN(const bool found, select.Bind(1, std::int64_t{subnet_id}).Step());
    if (!found) return NoSubnet(subnet_id);
    metadata = select.Blob(0);
  }
  v2::Subnet subnet;
  if (!subnet.ParseFromString(metadata)) {
    return absl::DataLossError(
        base::StrCat("the stored metadata of subnet ", subnet_id, " is damaged"));
  }
  return subnet;
}

absl::StatusOr<std::string> RegistryRecords::Owner(std::uint32_t subnet_id) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(base::Statement select,
                   database_.Prepare("SELECT owner FROM subnets WHERE subnet_id = ?1"));
  ASSIGN_OR_RETURN(const bool found, select.Bind(1, std::int64_t{subnet_id}).Step());
  if (!found) return NoSubnet(subnet_id);
  return select.Text(0);
}

std::uint64_t RegistryRecords::Version(std::uint32_t subnet_id) {
  std::lock_guard lock(mutex_);
  auto select = database_.Prepare("SELECT version FROM subnets WHERE subnet_id = ?1");
  if (!select.ok()) return 0;
  const auto found = select->Bind(1, std::int64_t{subnet_id}).Step();
  return found.ok() && *found ? static_cast<std::uint64_t>(select->Int(0)) : 0;
}

absl::StatusOr<std::vector<v2::Subnet>> RegistryRecords::List(std::uint32_t after_subnet_id,
                                                              std::size_t limit) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(base::Statement select,
                   database_.Prepare("SELECT subnet_id, name, owner, version FROM subnets WHERE "
                                     "subnet_id > ?1 ORDER BY subnet_id LIMIT ?2"));
  select.Bind(1, std::int64_t{after_subnet_id}).Bind(2, static_cast<std::int64_t>(limit));
  std::vector<v2::Subnet> subnets;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) return subnets;
    v2::Subnet& subnet = subnets.emplace_back();
    subnet.set_subnet_id(static_cast<std::uint32_t>(select.Int(0)));
    subnet.set_name(select.Text(1));
    subnet.set_owner_address(select.Text(2));
    subnet.set_version(static_cast<std::uint64_t>(select.Int(3)));
  }
}

absl::Status RegistryRecords::CheckRoom(std::uint64_t bytes_more) {
  ASSIGN_OR_RETURN(base::Statement select,
                   database_.Prepare("SELECT count(*), coalesce(sum(bytes), 0) FROM subnets"));
  RETURN_IF_ERROR(select.Step().status());
  if (static_cast<std::size_t>(select.Int(0)) >= limits_.subnets_max) {
    return absl::ResourceExhaustedError(
        base::StrCat("the registry has its ", limits_.subnets_max, " subnets already"));
  }
  if (static_cast<std::uint64_t>(select.Int(1)) + bytes_more > limits_.metadata_bytes_max) {
    return absl::ResourceExhaustedError("the registry has no room for so much more metadata");
  }
  return absl::OkStatus();
}

absl::Status RegistryRecords::Store(const inference::Subnet& subnet, std::string_view metadata) {
  const std::int64_t id = subnet.subnet_id;
  ASSIGN_OR_RETURN(base::Statement forget,
                   database_.Prepare("DELETE FROM files WHERE subnet_id = ?1"));
  RETURN_IF_ERROR(forget.Bind(1, id).Run());
  ASSIGN_OR_RETURN(
      base::Statement insert,
      database_.Prepare("INSERT INTO subnets (subnet_id, name, owner, version, bytes, metadata) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (subnet_id) DO UPDATE SET "
                        "name = ?2, owner = ?3, version = ?4, bytes = ?5, metadata = ?6"));
  RETURN_IF_ERROR(insert.Bind(1, id)
                      .Bind(2, subnet.name)
                      .Bind(3, subnet.owner_address)
                      .Bind(4, static_cast<std::int64_t>(subnet.version))
                      .Bind(5, static_cast<std::int64_t>(metadata.size()))
                      .BindBlob(6, metadata)
                      .Run());
  ASSIGN_OR_RETURN(base::Statement file,
                   database_.Prepare("INSERT OR IGNORE INTO files VALUES (?1, ?2)"));
  for (const inference::SubnetModel& model : subnet.models) {
    for (const inference::SubnetFile& entry : model.files) {
      RETURN_IF_ERROR(file.Bind(1, entry.sha256).Bind(2, id).Run());
    }
  }
  return absl::OkStatus();
}

namespace {

std::string Serialized(const inference::Subnet& subnet) {
  v2::Subnet message;
  wire::Encode(subnet, &message);
  return message.SerializeAsString();
}

}  // namespace

absl::Status RegistryRecords::Create(const inference::Subnet& subnet) {
  const std::string metadata = Serialized(subnet);
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(base::Transaction transaction, base::Transaction::Begin(database_));
  ASSIGN_OR_RETURN(base::Statement select,
                   database_.Prepare("SELECT owner FROM subnets WHERE subnet_id = ?1"));
  ASSIGN_OR_RETURN(const bool exists, select.Bind(1, std::int64_t{subnet.subnet_id}).Step());
  if (exists) {
    return absl::AlreadyExistsError(base::StrCat("subnet ", subnet.subnet_id,
                                                 " exists and belongs to ", select.Text(0),
                                                 "; choose another id"));
  }
  select.Reset();
  RETURN_IF_ERROR(CheckRoom(metadata.size()));
  RETURN_IF_ERROR(Store(subnet, metadata));
  return transaction.Commit();
}

absl::Status RegistryRecords::Update(const inference::Subnet& subnet, std::string_view signer) {
  const std::string metadata = Serialized(subnet);
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(base::Transaction transaction, base::Transaction::Begin(database_));
  ASSIGN_OR_RETURN(
      base::Statement select,
      database_.Prepare("SELECT owner, version, (SELECT sum(bytes) FROM subnets) - bytes FROM "
                        "subnets WHERE subnet_id = ?1"));
  ASSIGN_OR_RETURN(const bool exists, select.Bind(1, std::int64_t{subnet.subnet_id}).Step());
  if (!exists) return NoSubnet(subnet.subnet_id);
  if (select.Text(0) != signer) {
    return absl::PermissionDeniedError(base::StrCat("subnet ", subnet.subnet_id, " belongs to ",
                                                    select.Text(0), "; ", signer,
                                                    " cannot change it"));
  }
  const auto version = static_cast<std::uint64_t>(select.Int(1));
  if (subnet.version != version + 1) {
    return absl::AbortedError(base::StrCat("subnet ", subnet.subnet_id, " is at version ", version,
                                           " now, so the next one is ", version + 1, ", not ",
                                           subnet.version, "; read it anew and change that"));
  }
  if (static_cast<std::uint64_t>(select.Int(2)) + metadata.size() > limits_.metadata_bytes_max) {
    return absl::ResourceExhaustedError("the registry has no room for so much more metadata");
  }
  select.Reset();
  RETURN_IF_ERROR(Store(subnet, metadata));
  return transaction.Commit();
}

absl::StatusOr<bool> RegistryRecords::NeedsFile(std::string_view sha256) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(base::Statement select,
                   database_.Prepare("SELECT 1 FROM files WHERE sha256 = ?1 LIMIT 1"));
  return select.Bind(1, sha256).Step();
}

absl::StatusOr<std::vector<NodeRecord>> RegistryRecords::Nodes() {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(base::Statement select,
                   database_.Prepare("SELECT address, token_hash, node FROM nodes"));
  std::vector<NodeRecord> nodes;
  while (true) {
    ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) return nodes;
    nodes.push_back({select.Text(0), select.Blob(1), select.Blob(2)});
  }
}

absl::Status RegistryRecords::Put(const NodeRecord& node) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(base::Statement insert,
                   database_.Prepare("INSERT OR REPLACE INTO nodes VALUES (?1, ?2, ?3)"));
  return insert.Bind(1, node.address).BindBlob(2, node.token_hash).BindBlob(3, node.node).Run();
}

absl::Status RegistryRecords::RemoveNode(std::string_view address) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(base::Statement remove,
                   database_.Prepare("DELETE FROM nodes WHERE address = ?1"));
  return remove.Bind(1, address).Run();
}

}  // namespace ncn::reference
