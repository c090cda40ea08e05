# Takes the static archives of the distribution's libraries where it has them.
#
# A process with sixty shared objects has 5 MiB more of resident memory than the same with ten, most of
# it relocated tables and half-used pages, and needs longer to start. Objects that are linked in are
# also only those that are used.

# The archive beside the shared object at `path` (libx.so, libx.so.1.2), or `path` itself.
function(outrigger_archive_of path result)
  string(REGEX REPLACE "\\.so(\\.[0-9.]+)?$" ".a" archive "${path}")
  if(NOT archive STREQUAL path AND EXISTS "${archive}")
    set(${result} "${archive}" PARENT_SCOPE)
  else()
    set(${result} "${path}" PARENT_SCOPE)
  endif()
endfunction()

# Every imported target of this directory whose library has an archive.
function(outrigger_prefer_archives)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(configurations ${target} IMPORTED_CONFIGURATIONS)
    set(properties IMPORTED_LOCATION)
    if(configurations)
      foreach(configuration IN LISTS configurations)
        list(APPEND properties IMPORTED_LOCATION_${configuration})
      endforeach()
    endif()
    foreach(property IN LISTS properties)
      get_target_property(location ${target} ${property})
      if(location)
        outrigger_archive_of("${location}" archive)
        set_target_properties(${target} PROPERTIES ${property} "${archive}")
      endif()
    endforeach()
    # pkg-config's targets are interfaces with a list of files.
    get_target_property(type ${target} TYPE)
    get_target_property(libraries ${target} INTERFACE_LINK_LIBRARIES)
    if(type STREQUAL "INTERFACE_LIBRARY" AND libraries)
      set(archives)
      foreach(library IN LISTS libraries)
        outrigger_archive_of("${library}" archive)
        list(APPEND archives "${archive}")
      endforeach()
      set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES "${archives}")
    endif()
  endforeach()
  add_link_options(-static-libstdc++ -static-libgcc)
endfunction()
