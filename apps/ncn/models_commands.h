#pragma once

#include "apps/ncn/command.h"

namespace ncn::apps {

// The subcommands of `ncn models` beside `list`.
void AddModelsPull(CLI::App& models, Chosen& chosen);
// `ncn registry publish`, which is `ncn models push` as well.
void AddPublishCommand(CLI::App& parent, Chosen& chosen, const char* name);
void AddModelsFolderCommands(CLI::App& models, Chosen& chosen);  // show, verify, rm, gc

}  // namespace ncn::apps
