// Is this UTF-8? The strict definition of RFC 3629: no overlong forms, no surrogates, nothing above
// U+10FFFF. U+0000 is a character like any other.
//
// Labels travel into JSON, text exposition and the page, whose readers all refuse bad UTF-8;
// refusing it once at the door is cheaper than repairing it at every exit. Nearly all labels are
// ASCII, so eight bytes are looked at together until one is not.
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_MODEL_UTF8_H_
#define TINYOBS_LIB_MODEL_UTF8_H_

#include <string_view>

namespace tinyobs {

// True for the empty string. O(bytes).
bool IsValidUtf8(std::string_view text);

}  // namespace tinyobs

#endif  // TINYOBS_LIB_MODEL_UTF8_H_
