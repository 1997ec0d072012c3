include(GoogleTest)

# What the sanitizer presets build: the tests that run under them, and nothing else.
add_custom_target(unit_and_integration_tests)

# ncn_room(<name> [DEPS ...] [PRIVATE_DEPS ...])
# A library ncn::<name> of src/<name>/*.cc and a test program of src/<name>/*_test.cc.
function(ncn_room name)
  cmake_parse_arguments(ROOM "" "" "DEPS;PRIVATE_DEPS" ${ARGN})
  set(folder ${PROJECT_SOURCE_DIR}/src/${name})
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cc)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  if(sources)
    add_library(ncn_${name} STATIC ${sources})
    set(scope PUBLIC)
    target_compile_options(ncn_${name} PRIVATE ${NCN_WARNINGS})
    target_link_libraries(ncn_${name} PRIVATE ${ROOM_PRIVATE_DEPS})
  else()
    add_library(ncn_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(ncn::${name} ALIAS ncn_${name})
  target_include_directories(ncn_${name} ${scope} ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(ncn_${name} ${scope} ${ROOM_DEPS})
  if(tests)
    ncn_test(${name}_test SOURCES ${tests} DEPS ncn::${name} ${ROOM_PRIVATE_DEPS} LABELS unit)
  endif()
endfunction()

# ncn_test(<name> SOURCES ... DEPS ... LABELS ... [TIMEOUT seconds])
# A GoogleTest program whose tests ctest sees one by one.
function(ncn_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  add_executable(${name} ${TEST_SOURCES})
  target_compile_options(${name} PRIVATE ${NCN_WARNINGS})
  target_link_libraries(${name} PRIVATE ${TEST_DEPS} GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if("unit" IN_LIST TEST_LABELS OR "integration" IN_LIST TEST_LABELS)
    add_dependencies(unit_and_integration_tests ${name})
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS "${TEST_LABELS}" TIMEOUT ${TEST_TIMEOUT})
endfunction()

# ncn_program(<name> DEPS ...)
# The program bin/<name> of apps/<name>/*.cc.
function(ncn_program name)
  cmake_parse_arguments(PROGRAM "" "" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/apps/${name}/*.cc)
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources})
  target_compile_options(${name} PRIVATE ${NCN_WARNINGS})
  target_compile_definitions(${name} PRIVATE NCN_VERSION="${PROJECT_VERSION}")
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${PROGRAM_DEPS})
  if(NOT CMAKE_RUNTIME_OUTPUT_DIRECTORY)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  endif()
endfunction()

# ncn_link_statically(<program> <room>...)
# Links a program against nothing but the archives of these rooms, Abseil's and the C library's. The
# program may use of the rooms only what needs no other library. Not under sanitizers and coverage,
# whose run-time libraries are shared.
function(ncn_link_statically program)
  if(NCN_SANITIZE OR NCN_COVERAGE)
    return()
  endif()
  list(TRANSFORM ARGN REPLACE "(.+)" "$<TARGET_FILE:ncn_\\1>" OUTPUT_VARIABLE archives)
  list(TRANSFORM ARGN PREPEND "ncn_" OUTPUT_VARIABLE targets)
  target_include_directories(${program} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  # mold takes objects out of archives that nothing needs.
  target_link_options(${program} PRIVATE -static-pie -fuse-ld=bfd)
  set_target_properties(${program} PROPERTIES LINK_LIBRARIES "${archives};${absl_static_STATIC_LDFLAGS}"
                                              LINK_DEPENDS "${archives}")
  add_dependencies(${program} ${targets})
endfunction()

# ncn::proto, the generated messages and services of proto/ncn/v2.
function(ncn_proto_library)
  file(GLOB protos CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/proto/ncn/v2/*.proto)
  if(NOT protos)
    add_library(ncn_proto INTERFACE)
    add_library(ncn::proto ALIAS ncn_proto)
    return()
  endif()
  set(generated ${PROJECT_BINARY_DIR}/proto)
  file(MAKE_DIRECTORY ${generated})
  foreach(proto ${protos})
    cmake_path(GET proto STEM name)
    set(stem ${generated}/ncn/v2/${name})
    add_custom_command(
      OUTPUT ${stem}.pb.cc ${stem}.pb.h ${stem}.grpc.pb.cc ${stem}.grpc.pb.h
      COMMAND protobuf::protoc -I ${PROJECT_SOURCE_DIR}/proto --cpp_out=${generated} --grpc_out=${generated}
              --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin> ${proto}
      DEPENDS ${protos} protobuf::protoc gRPC::grpc_cpp_plugin
      VERBATIM)
    list(APPEND sources ${stem}.pb.cc ${stem}.grpc.pb.cc)
  endforeach()
  add_library(ncn_proto STATIC ${sources})
  add_library(ncn::proto ALIAS ncn_proto)
  target_include_directories(ncn_proto SYSTEM PUBLIC ${generated})
  target_link_libraries(ncn_proto PUBLIC gRPC::grpc++ protobuf::libprotobuf)
endfunction()

# ncn_zygote_library(): libncn_zygote.so beside the programs, which the image's Python loads. Made of
# the sandbox's own sources once more, and of the native executor's that read JSON, with the few headers of apps/zygote_library in place of
# Abseil's. Not under sanitizers and coverage, whose run-time libraries the image lacks.
function(ncn_zygote_library)
  if(NCN_SANITIZE OR NCN_COVERAGE)
    return()
  endif()
  set(sources confinement landlock launch_protocol launcher message_socket mount_tree sandbox_init sandbox_setup
              setup_journal setup_step)
  list(TRANSFORM sources REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/src/sandbox/\\1.cc")
  foreach(name executor_error half json_parser json_tensor json_value json_writer open_inference tensor utf8)
    list(APPEND sources ${PROJECT_SOURCE_DIR}/src/native/${name}.cc)
  endforeach()
  file(GLOB own CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/apps/zygote_library/*.cc)
  add_library(ncn_zygote SHARED ${own} ${sources}
                                ${PROJECT_SOURCE_DIR}/src/base/files.cc ${PROJECT_SOURCE_DIR}/src/base/errno_status.cc)
  target_include_directories(ncn_zygote BEFORE PRIVATE ${PROJECT_SOURCE_DIR}/apps/zygote_library ${PROJECT_SOURCE_DIR}/src)
  target_compile_options(ncn_zygote PRIVATE ${NCN_WARNINGS})
  target_link_options(ncn_zygote PRIVATE -static-libstdc++ -static-libgcc -Wl,--exclude-libs,ALL -Wl,-z,defs)
  set_target_properties(ncn_zygote PROPERTIES
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LIBRARY_OUTPUT_DIRECTORY $<IF:$<BOOL:${CMAKE_RUNTIME_OUTPUT_DIRECTORY}>,${CMAKE_RUNTIME_OUTPUT_DIRECTORY},${PROJECT_BINARY_DIR}/bin>)
endfunction()

# ncn_image_program(<name> <room>...)
# The program bin/ncn_<name> of apps/<name>/*.cc, which runs inside the runtime image: of shared libraries it needs the
# C library alone. It may use of the rooms only what needs no other. Not under sanitizers and coverage, whose run-time
# libraries the image lacks.
function(ncn_image_program name)
  if(NCN_SANITIZE OR NCN_COVERAGE)
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/apps/${name}/*.cc)
  list(TRANSFORM ARGN REPLACE "(.+)" "$<TARGET_FILE:ncn_\\1>" OUTPUT_VARIABLE archives)
  list(TRANSFORM ARGN PREPEND "ncn_" OUTPUT_VARIABLE targets)
  add_executable(ncn_${name} ${sources})
  target_compile_options(ncn_${name} PRIVATE ${NCN_WARNINGS})
  target_include_directories(ncn_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src
                                                 $<TARGET_PROPERTY:onnxruntime::headers,INTERFACE_INCLUDE_DIRECTORIES>)
  # mold takes objects out of archives that nothing needs.
  target_link_options(ncn_${name} PRIVATE -fuse-ld=bfd -static-libstdc++ -static-libgcc)
  set_target_properties(ncn_${name} PROPERTIES
    LINK_LIBRARIES "${archives};-Wl,-Bstatic;${absl_static_STATIC_LDFLAGS};-Wl,-Bdynamic;-ldl;-lpthread"
    LINK_DEPENDS "${archives}"
    RUNTIME_OUTPUT_DIRECTORY
      $<IF:$<BOOL:${CMAKE_RUNTIME_OUTPUT_DIRECTORY}>,${CMAKE_RUNTIME_OUTPUT_DIRECTORY},${PROJECT_BINARY_DIR}/bin>)
  add_dependencies(ncn_${name} ${targets})
endfunction()
