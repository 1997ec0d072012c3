#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "sandbox/sandbox.h"

namespace ncn::sandbox {

// Whom the files of a workspace belong to, as the host sees it.
struct WorkspaceOwner {
  unsigned uid = 0;
  unsigned gid = 0;
};

// Writes `files` into the folder that `work_folder` is a descriptor of, as new files of `owner`.
// InvalidArgument for a name that is no plain file name.
absl::Status PlaceFiles(int work_folder, const std::vector<SandboxCommand::InputFile>& files,
                        WorkspaceOwner owner);

// Reads back what `wanted` names, one entry each. Whoever wrote it is an enemy: only regular files
// with one link are read, once, never through a symbolic link, never more than their bound. Call it
// when all that could write is dead.
std::vector<CollectedFile> CollectFiles(int work_folder,
                                        const std::vector<SandboxCommand::OutputFile>& wanted);

// Whether `name` can be a file of /work: not empty, no slash or zero byte, neither "." nor "..".
bool IsFileName(std::string_view name);

}  // namespace ncn::sandbox
