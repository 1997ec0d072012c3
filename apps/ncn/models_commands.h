#pragma once

#include "apps/ncn/command.h"

namespace ncn::apps {

// The subcommands of `ncn models` beside `list`.
void AddModelsPull(CLI::App& models, Chosen& chosen);
void AddModelsFolderCommands(CLI::App& models, Chosen& chosen);  // show, verify, rm, gc

}  // namespace ncn::apps
