# onnxruntime::headers, the C interface of ONNX Runtime, for the native executor, which opens the library of the
# runtime image when it runs. Debian 12 has no such package, so they are unpacked from the image's Debian into the
# cache, once. Without them there is no native executor, hence no build.
set(NCN_ONNXRUNTIME_PACKAGES ${PROJECT_SOURCE_DIR}/runtime_image/onnxruntime-packages.txt)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${NCN_ONNXRUNTIME_PACKAGES})
execute_process(
  COMMAND ${PROJECT_SOURCE_DIR}/runtime_image/unpack_packages onnxruntime-headers ${NCN_ONNXRUNTIME_PACKAGES}
  OUTPUT_VARIABLE NCN_ONNXRUNTIME_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
if(failed OR NOT EXISTS ${NCN_ONNXRUNTIME_ROOT}/usr/include/onnxruntime/onnxruntime_c_api.h)
  message(FATAL_ERROR "The headers of ONNX Runtime could not be unpacked; the lines above say why. "
                      "`runtime_image/unpack_packages onnxruntime-headers ${NCN_ONNXRUNTIME_PACKAGES}` must work, "
                      "which needs a Debian mirror once.")
endif()
add_library(onnxruntime_headers INTERFACE)
add_library(onnxruntime::headers ALIAS onnxruntime_headers)
target_include_directories(onnxruntime_headers SYSTEM INTERFACE ${NCN_ONNXRUNTIME_ROOT}/usr/include/onnxruntime)
