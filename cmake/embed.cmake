# ncn_embed_text(<target> <symbol> <file>)
# Makes the bytes of a text file available to a target as
#   namespace ncn::embedded { extern const std::string_view <symbol>; }
# so that a program cannot be handed other data than what it was built with.
function(ncn_embed_text target symbol file)
  set(output ${PROJECT_BINARY_DIR}/embedded/${symbol}.cc)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  file(CONFIGURE OUTPUT ${output} @ONLY CONTENT
"#include <string_view>
namespace ncn::embedded {
extern const std::string_view @symbol@;
const std::string_view @symbol@ = R\"~~~(@text@)~~~\";
}  // namespace ncn::embedded
")
  target_sources(${target} PRIVATE ${output})
endfunction()
